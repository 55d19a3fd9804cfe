"""Make `sample_data.xlsx`, a children's meal-card service as a dirty MySQL export, and the truth about it.

Run `python scripts/make_sample_data.py` to write `sample_data.xlsx` and `tests/data/sample_data.truth.json`.
Everything follows from the seed: the same seed gives the same bytes. Values are invented (see
`sample_data/words.py`); the dirt is planted on purpose and each piece is written down in the truth file:
where it stands, and what a correct reader must conclude.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from sample_data import dirt, service
from sample_data.truth import truth
from sample_data.world import World, schema
from sample_data.writing import workbook_bytes

ROOT = Path(__file__).resolve().parents[1]
SEED = 20260630


def make_world(seed: int = SEED, num_shops: int = 126, num_users: int = 180) -> World:
    """All sheets and the truth about them."""
    world = World(random.Random(seed), schema())
    dirt.structure(world)
    service.make_people(world, num_users)
    service.make_companies(world)
    service.make_shops(world, num_shops)
    dirt.partner_ids(world, 4)
    service.make_options(world, min(60, num_shops))
    service.make_coupons(world, 24)
    service.make_activity(world, num_users)
    dirt.plant_all(world)
    return world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--shops", type=int, default=126, help="live shops over ten categories")
    parser.add_argument("--users", type=int, default=180)
    parser.add_argument("--out", type=Path, default=ROOT / "sample_data.xlsx")
    parser.add_argument("--truth", type=Path, default=ROOT / "tests" / "data" / "sample_data.truth.json")
    given = parser.parse_args()
    world = make_world(given.seed, given.shops, given.users)
    given.out.write_bytes(workbook_bytes(world))
    given.truth.parent.mkdir(parents=True, exist_ok=True)
    given.truth.write_text(json.dumps(truth(world, given.seed), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{given.out}: {len(world.sheets)} sheets, {len(world.shops)} live shops, {len(world.menus)} usable menus")
    print(f"{given.truth}: {len(world.traits)} planted traits, {len(world.refused)} rows to refuse")


if __name__ == "__main__":
    main()
