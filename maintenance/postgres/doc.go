// Package postgres is the adapter between partitiond's words and a PostgreSQL
// server: it observes a set in the catalog, renders actions as SQL, and applies
// them under short locks. Quoting happens in this package and nowhere else.
package postgres
