//! What only the engine on PostgreSQL can be asked.
