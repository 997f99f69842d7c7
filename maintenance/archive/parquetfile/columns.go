package parquetfile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Column is a column of a table and the form that it takes in a part. It is
// meant to be kept in a manifest; [Read] needs it to make the rows of the part
// again.
type Column struct {
	// Name is the column's, unquoted.
	Name string `json:"name"`
	// Type is as format_type prints it, with the schema unless that is in the
	// search path.
	Type string `json:"type"`
	// TypeOID is the type's.
	TypeOID uint32 `json:"type_oid"`
	// Base is the OID of the type that a domain is over in the end, and Typmod its
	// modifier or -1 (PostgreSQL documentation, 8.18 Domain Types). Without a domain
	// they are the column's own. The OIDs of PostgreSQL's own types never change.
	Base   uint32 `json:"base_oid"`
	Typmod int32  `json:"typmod"`
	// Domain says that the type is a domain; Enum and Array are about Base.
	Domain bool `json:"domain,omitempty"`
	Enum   bool `json:"enum,omitempty"`
	Array  bool `json:"array,omitempty"`
	// Parquet names the form in the part, as in "decimal(10,2)"; see the package
	// documentation.
	Parquet Form `json:"parquet"`
	// AsText says that the part has the text of the value, as the type's output
	// function prints it, and not the value.
	AsText bool `json:"as_text,omitempty"`
}

// Plan is the columns of a part, in the table's order.
type Plan []Column

// AsText returns the plan with the named columns as text. It is an error if one
// is not in the plan, or is as text already, for then nothing would be different.
func (p Plan) AsText(names ...string) (Plan, error) {
	p = slices.Clone(p)
	for _, name := range names {
		i := p.index(name)
		if i < 0 {
			return nil, fmt.Errorf("there is no column %q", name)
		}
		if p[i].AsText {
			return nil, fmt.Errorf("the column %q is as text already", name)
		}
		p[i].AsText = true
		// Text in a database without an encoding is bytes, and so is a text of it.
		if p[i].Parquet != Binary {
			p[i].Parquet = String
		}
	}
	return p, nil
}

func (p Plan) index(name string) int {
	return slices.IndexFunc(p, func(c Column) bool { return c.Name == name })
}

// SelectList returns the SELECT list for the COPY. The text of a column comes
// from the output function of its type, by format('%s', ...): a cast to text
// could be somebody's own, and leave something out. format makes an empty string
// of NULL (PostgreSQL documentation, 9.4.1 format), but IS NULL would take a row
// of NULLs for NULL.
func (p Plan) SelectList() string {
	list := make([]string, len(p))
	for i, c := range p {
		name := quote(c.Name)
		list[i] = name
		if c.AsText {
			list[i] = fmt.Sprintf("CASE WHEN pg_catalog.num_nulls(%[1]s) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.format('%%s', %[1]s) END AS %[1]s", name)
		}
	}
	return strings.Join(list, ", ")
}

// CopySQL returns the statement whose output a [Writer] wants: all rows of the
// table, without those of its children. Its session has the settings that
// [Columns] asks for.
func (p Plan) CopySQL(table partition.Name) string {
	return "COPY (SELECT " + p.SelectList() + " FROM ONLY " + quoted(table) + ") TO STDOUT (FORMAT binary)"
}

// names returns the columns' names as SQL.
func (p Plan) names() string {
	list := make([]string, len(p))
	for i, c := range p {
		list[i] = quote(c.Name)
	}
	return strings.Join(list, ", ")
}

func quote(name string) string           { return pgx.Identifier{name}.Sanitize() }
func quoted(table partition.Name) string { return pgx.Identifier{table.Schema, table.Local}.Sanitize() }

// settings are what the text of values depends on, and what they have to be so
// that text reads back as the value that it was printed from (PostgreSQL
// documentation, 20.11 Client Connection Defaults). lc_monetary matters to money,
// and search_path to the names that types and values of reg types have.
var settings = []struct{ name, value string }{
	{"client_encoding", "UTF8"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"lc_monetary", "C"},
	{"search_path", "pg_catalog"},
	{"xmloption", "content"},
}

// noEncoding is the encoding of a database that neither knows nor checks what its
// text is encoded in. It would check what a client with another encoding sends
// (PostgreSQL documentation, 24.3.3 Automatic Character Set Conversion).
const noEncoding = "SQL_ASCII"

// propagate is the setting by which Citus passes SET LOCAL on to other servers (Citus
// documentation, Configuration Reference).
const propagate = "citus.propagate_set_commands"

// eachSetting calls do with the settings that the database needs.
func eachSetting(ctx context.Context, tx pgx.Tx, do func(name, value string) error) error {
	encoding, err := encodingOf(ctx, tx)
	if err != nil {
		return err
	}
	for _, s := range settings {
		if s.name == "client_encoding" && encoding == noEncoding {
			s.value = noEncoding
		}
		if err := do(s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

func encodingOf(ctx context.Context, tx pgx.Tx) (name string, err error) {
	if err := tx.QueryRow(ctx, "SELECT pg_catalog.current_setting('server_encoding')").Scan(&name); err != nil {
		return "", fmt.Errorf("reading the server's encoding: %w", err)
	}
	return name, nil
}

// Configure gives the transaction, until it ends, the settings under which rows
// are exported and restored. Where Citus reads rows on other servers, they are those
// servers', too.
func Configure(ctx context.Context, tx pgx.Tx) error {
	var citus bool
	if err := tx.QueryRow(ctx, "SELECT pg_catalog.current_setting($1, true) IS NOT NULL", propagate).Scan(&citus); err != nil {
		return fmt.Errorf("looking for Citus: %w", err)
	}
	set := func(name, value string) error {
		if _, err := tx.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, true)", name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		return nil
	}
	if !citus {
		return eachSetting(ctx, tx, set)
	}
	if err := set(propagate, "local"); err != nil {
		return err
	}
	// What the function sets does not go along.
	err := eachSetting(ctx, tx, func(name, value string) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL %s = '%s'", name, value)); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return set(propagate, "none")
}

// configured returns an error if the session has not the settings of [Configure].
func configured(ctx context.Context, tx pgx.Tx) error {
	return eachSetting(ctx, tx, func(name, want string) error {
		var value string
		if err := tx.QueryRow(ctx, "SELECT pg_catalog.current_setting($1)", name).Scan(&value); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if value != want {
			return fmt.Errorf("the session has %s = %q, and an archive needs %q", name, value, want)
		}
		return nil
	})
}

// Columns reads the table's columns and decides the form of each. Dropped columns
// are not there any more, and generated ones cannot be loaded again (PostgreSQL
// documentation, 5.3 Generated Columns). The session must have the settings of
// [Configure], and the caller a lock on the table.
func Columns(ctx context.Context, tx pgx.Tx, table partition.Name) (Plan, error) {
	plan, err := columns(ctx, tx, table)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
	}
	return plan, nil
}

func columns(ctx context.Context, tx pgx.Tx, table partition.Name) (Plan, error) {
	if err := configured(ctx, tx); err != nil {
		return nil, err
	}
	encoding, err := encodingOf(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid, b.oid, d.typmod,
			t.typtype = 'd', b.typtype = 'e', b.typcategory = 'A'
		FROM pg_class c
		JOIN pg_namespace s ON s.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		JOIN pg_type t ON t.oid = a.atttypid
		CROSS JOIN LATERAL (
			WITH RECURSIVE over (typ, typmod) AS (
				SELECT a.atttypid, a.atttypmod
				UNION ALL
				SELECT o.typbasetype, o.typtypmod FROM over JOIN pg_type o ON o.oid = over.typ AND o.typtype = 'd')
			SELECT * FROM over) d
		JOIN pg_type b ON b.oid = d.typ AND b.typtype <> 'd'
		WHERE s.nspname = $1 AND c.relname = $2
		ORDER BY a.attnum`, table.Schema, table.Local)
	if err != nil {
		return nil, err
	}
	var plan Plan
	var c Column
	into := []any{&c.Name, &c.Type, &c.TypeOID, &c.Base, &c.Typmod, &c.Domain, &c.Enum, &c.Array}
	_, err = pgx.ForEachRow(rows, into, func() error {
		c.Parquet, c.AsText = formOf(c.Base, c.Typmod)
		if encoding == noEncoding && (c.Parquet == String || c.Parquet == JSON) {
			c.Parquet = Binary
		}
		plan = append(plan, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(plan) == 0 {
		return nil, errors.New("there is no such table, or it has no column to export")
	}
	return plan, nil
}
