"""Who agreed: the row's own consent, or else the basis that its persona declares for such a source."""

from __future__ import annotations

from nabi.conversations.records import Basis, BasisSource, Consent
from nabi.conversations.sources.fields import Fields, RowError, consent
from nabi.conversations.sources.rows import NO_PERMISSION, Delivery


def permission(row: Fields, persona_id: str, source: BasisSource, delivery: Delivery) -> tuple[Consent, Basis | None]:
    """The consent of a row, and the basis when that is what stands for it.

    A row that carries a consent, be it a no, is held to it: a basis never outweighs a person.

    Raises:
        RowError: neither consent nor basis.
    """
    if row.get("consent") is not None:
        return consent(row), None
    basis = declared_basis(persona_id, source, delivery)
    return Consent(training=True), basis


def declared_basis(persona_id: str, source: BasisSource, delivery: Delivery) -> Basis:
    """The basis on which the persona may learn from a source that carries no consent.

    Raises:
        RowError: it declares none.
    """
    persona = delivery.personas.get(persona_id)
    declared = persona.basis if persona else ()
    basis = next((one for one in declared if one.source == source), None)
    if basis is None:
        why = f"the row carries no consent, and {persona_id} declares no basis to learn from {source} without one"
        raise RowError("consent", why, NO_PERMISSION)
    return basis
