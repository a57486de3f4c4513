"""The system of record: rows in SQLite or PostgreSQL. Never calls out; decides nothing that the domain can decide."""
