"""nabi's own database: conversations, what was learned from them, what was decided and what was live."""
