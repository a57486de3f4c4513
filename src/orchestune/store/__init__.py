"""The system of record: rows in SQLite or PostgreSQL. Makes no calls to other systems; decisions are the domain's."""
