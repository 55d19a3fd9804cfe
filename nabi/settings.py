"""One typed settings object, read from `nabi.toml` and `NABI_*` variables.

Every setting has a default that works on a laptop. Paths are relative to `home`, so that a whole
installation moves by moving one folder.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Settings(BaseSettings):
    """Where things live and which servers to use. Immutable; validated when it is made."""

    model_config = SettingsConfigDict(env_prefix="NABI_", frozen=True, extra="forbid")

    home: Path = Field(default_factory=Path.cwd, description="the installation's folder; the other paths start here")
    personas_dir: Path = Path("personas")
    models_dir: Path = Path("models")
    datasets_dir: Path = Path("datasets")
    state_dir: Path = Field(default=Path("var"), description="databases, adapters, the local DVC remote, logs")
    base_model: str = Field(
        default="tiny-ko",
        description="a folder in models_dir, a path, or a hub name such as Qwen/Qwen2.5-3B-Instruct",
    )
    database_url: str | None = Field(default=None, description="conversations and ledger; default: SQLite")
    mlflow_uri: str | None = Field(default=None, description="tracking server or database; default: SQLite")
    prefect_database_url: str | None = Field(
        default=None,
        pattern=r"^postgresql\+asyncpg://",
        description="Prefect's runs, as postgresql+asyncpg://…; default: SQLite",
    )
    prefect_port: int = Field(default=4200, ge=1, le=65535, description="Prefect's pages when `nabi up` runs")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="MLflow's pages when `nabi up` runs")
    patience_seconds: float = Field(
        default=900, ge=0, description="how long a step waits for a server, a lock or the network that is away"
    )
    serve_port: int = Field(default=8000, ge=1, le=65535, description="the chat server of `nabi serve`")
    adapter_slots: int = Field(default=16, ge=1, description="adapters in memory for each base")
    adapter_memory_mb: int | None = Field(
        default=None, ge=1, description="what adapters in memory may take for each base, instead of their number"
    )
    prefix_memory_mb: int = Field(
        default=64, ge=0, description="what beginnings that prompts share may take for each base; 0 keeps none"
    )
    vllm_url: HttpUrl | None = Field(
        default=None, description="a vLLM server that computes for personas of base_model; see docs/serving.md"
    )
    vllm_api_key: SecretStr | None = Field(default=None, description="what vLLM was started with as --api-key")
    answers_at_once: int = Field(default=32, ge=1, description="answers that are computed together")
    max_waiting: int = Field(default=256, ge=1, description="requests that wait for their turn; one more gets a 429")
    requests_per_minute: int = Field(default=1200, ge=1, description="of one token; more get a 429")
    watch_seconds: float = Field(default=10, gt=0, description="between two looks whether what answers got worse")
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="of one request; more gets a 413")
    webhook_url: HttpUrl | None = Field(default=None, description="where notices are posted; see docs/notices.md")
    judge_api_key: SecretStr | None = Field(default=None, description="the bearer token of a persona's judge")
    teacher_api_key: SecretStr | None = Field(
        default=None, description="the bearer token of `nabi synthesize`'s teacher"
    )
    quiet_days: int = Field(default=7, ge=1, description="days without training or deployment before a person hears")
    max_cpu: float = Field(default=85, gt=0, le=100, description="percent; a busier machine keeps runs waiting")
    max_memory: float = Field(default=80, gt=0, le=100, description="percent, the same for memory")
    max_gpu: float = Field(default=90, gt=0, le=100, description="percent, the same for the GPU that trains")
    max_waiting_runs: int = Field(default=50, ge=1, description="runs in the queue; one more is refused")
    seed: int = 20260701
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads; default: all cores to train, what suits the base to answer",
    )
    train_at_once: int | None = Field(
        default=None, ge=1, description="adapters trained as one batch; default: as many as fit a GPU, one on a CPU"
    )
    checkpoint_seconds: float = Field(default=60, ge=0, description="a training is saved about so often")
    checkpoint_steps: int | None = Field(default=None, ge=1, description="… and after every so many steps")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = Path(os.environ.get("NABI_HOME", ".")) / "nabi.toml"
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=toml)

    def path(self, relative: Path) -> Path:
        """A settings path made absolute (absolute ones stay as they are)."""
        return (self.home / relative).resolve()

    @property
    def personas(self) -> Path:
        return self.path(self.personas_dir)

    @property
    def models(self) -> Path:
        return self.path(self.models_dir)

    @property
    def datasets(self) -> Path:
        return self.path(self.datasets_dir)

    @property
    def state(self) -> Path:
        return self.path(self.state_dir)

    @property
    def adapters(self) -> Path:
        return self.state / "adapters"

    @property
    def mlruns(self) -> Path:
        return self.path(Path("mlruns"))

    @property
    def database(self) -> str:
        """SQLAlchemy URL of nabi's own database."""
        return self.database_url or f"sqlite:///{self.state / 'nabi.db'}"

    @property
    def mlflow(self) -> str:
        """MLflow tracking URI."""
        return self.mlflow_uri or f"sqlite:///{self.state / 'mlflow.db'}"

    @property
    def mlflow_pages(self) -> str:
        """Where a browser finds MLflow's pages while `nabi up` runs, without a slash at the end."""
        if self.mlflow.startswith("http"):
            return self.mlflow.rstrip("/")
        return f"http://127.0.0.1:{self.mlflow_port}"


@cache
def get_settings() -> Settings:
    """The process's settings, read once. Tests call `get_settings.cache_clear()`."""
    return Settings()
