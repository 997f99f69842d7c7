package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// HashMethod is how the server digests a row. The digests of all rows are
// summed, so that their order does not matter and equal rows do not cancel out.
type HashMethod string

const (
	// HashRecord is hash_record_extended(ROW(...), 0), PostgreSQL 14 and later.
	// It is faster by half, but values that are equal in SQL have one hash: 1.0 and 1.00,
	// 0 and -0, '1 day' and '24 hours', '{1,2}' and '{{1,2}}'. So it serves only
	// where all columns are of types whose equal values are identical.
	HashRecord HashMethod = "hash_record_extended"
	// HashText is hashtextextended(ROW(...)::text, 0). What the text shows is
	// what an archive holds.
	HashText HashMethod = "hashtextextended"
)

// identical are the types without two different values that are equal, given
// a deterministic collation (PostgreSQL documentation, 24.2.2.4
// Nondeterministic Collations). Enums are not: their labels can be renamed.
var identical = []string{
	"boolean", "bytea", "smallint", "integer", "bigint", "oid", "text", "character varying", "name", "\"char\"",
	"date", "time without time zone", "timestamp without time zone", "timestamp with time zone", "uuid",
}

// ErrChanged matches every [*ChangedError].
var ErrChanged = errors.New("the table is no longer what was archived")

// ChangedError says that a table differs from its archive.
type ChangedError struct {
	Table partition.Name
	// Want is the archive's content, Got the table's.
	Want, Got Content
	// Columns says what differs where that is not the rows but the columns; then
	// the rows were not counted.
	Columns string
}

// Error implements error.
func (e *ChangedError) Error() string {
	if e.Columns != "" {
		return fmt.Sprintf("%s: %v: %s", e.Table, ErrChanged, e.Columns)
	}
	return fmt.Sprintf("%s: %v: archived %d rows with hash %s, found %d rows with hash %s",
		e.Table, ErrChanged, e.Want.Rows, e.Want.Hash, e.Got.Rows, e.Got.Hash)
}

// Is makes [errors.Is] match [ErrChanged].
func (e *ChangedError) Is(target error) bool { return target == ErrChanged }

// ErrNotLocked says that StillEqual was asked in a transaction in which its
// answer could be outdated at once, or was before it was given.
var ErrNotLocked = errors.New("an answer would not hold until the table is dropped")

// StillEqual tells whether the table is the one of the given OID, with the rows
// that the exports hold together and no others: nil if so, otherwise
// [ErrOtherTable] or a [*ChangedError]. The exports are what [Ensure] returned for
// the table. The caller
// drops the table in the same transaction, in which it holds SHARE on it or a
// stronger lock, so that nobody writes (PostgreSQL documentation, 13.3.1
// Table-Level Locks); SHARE lets readers go on while the rows are counted. The
// isolation level must be READ COMMITTED: above it the rows might
// be those before the lock was taken (PostgreSQL documentation, 13.2
// Transaction Isolation). Both are checked; see [ErrNotLocked]. Settings of the
// transaction are left as they were.
func StillEqual(ctx context.Context, tx pgx.Tx, exports []Manifest, name partition.Name, oid uint32) error {
	sp, err := tx.Begin(ctx)
	if err != nil {
		return fmt.Errorf("setting a savepoint: %w", err)
	}
	err = stillEqual(ctx, sp, exports, name, oid)
	// Whatever the answer, going back undoes the settings.
	if back := sp.Rollback(ctx); back != nil {
		return errors.Join(err, fmt.Errorf("returning to a savepoint: %w", back))
	}
	return err
}

func stillEqual(ctx context.Context, tx pgx.Tx, exports []Manifest, name partition.Name, oid uint32) error {
	if err := configure(ctx, tx); err != nil {
		return err
	}
	t, err := look(ctx, tx, name)
	if err != nil {
		return err
	}
	// A single export is of this very table; several are what it was restored from.
	if t.source.OID != oid || len(exports) == 1 && exports[0].Source.OID == oid && !t.source.same(exports[0].Source) {
		return fmt.Errorf("%s has OID %d in database %d of cluster %q, archived was OID %d: %w", name,
			t.source.OID, t.source.DatabaseOID, t.source.SystemIdentifier, oid, ErrOtherTable)
	}
	var isolation string
	var locked bool
	err = tx.QueryRow(ctx, `
		SELECT current_setting('transaction_isolation'), EXISTS (
			SELECT FROM pg_locks
			WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = $1 AND granted
				AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`,
		t.source.OID).Scan(&isolation, &locked)
	if err != nil {
		return fmt.Errorf("looking for the lock on %s: %w", name, err)
	}
	if isolation != "read committed" {
		return fmt.Errorf("the transaction is %s, not read committed: %w", strings.ToUpper(isolation), ErrNotLocked)
	}
	if !locked {
		return fmt.Errorf("the transaction does not hold SHARE or more on %s: %w", name, ErrNotLocked)
	}
	if len(exports) == 1 && exports[0].Source.OID == oid {
		return t.compare(ctx, tx, exports[0])
	}
	if err := t.sameColumns(exports[0]); err != nil {
		return err
	}
	return equalRows(ctx, tx, exports, name)
}

// sameColumns makes sure that a table has the columns of an export that it was
// restored from, in whatever order: the parent's may have changed since, and the
// export knows nothing of the values of a new one.
func (t table) sameColumns(m Manifest) error {
	sorted := func(columns []Column) string {
		return shape(slices.SortedFunc(slices.Values(columns), func(a, b Column) int { return strings.Compare(a.Name, b.Name) }))
	}
	if want, got := sorted(m.Columns), sorted(t.columns); want != got {
		return &ChangedError{Table: t.name, Want: m.Content, Columns: fmt.Sprintf("archived (%s), found (%s)", want, got)}
	}
	return nil
}

// compare compares the columns and counts the rows again.
func (t table) compare(ctx context.Context, tx pgx.Tx, m Manifest) error {
	if want, got := shape(m.Columns), shape(t.columns); want != got {
		return &ChangedError{Table: t.name, Want: m.Content, Columns: fmt.Sprintf("archived (%s), found (%s)", want, got)}
	}
	got, err := t.count(ctx, tx, m.Content.Method, nil)
	if err != nil {
		return err
	}
	if got != m.Content {
		return &ChangedError{Table: t.name, Want: m.Content, Got: got}
	}
	return nil
}

// shape describes the columns as far as they matter to the rows.
func shape(columns []Column) string {
	var b strings.Builder
	for _, c := range columns {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q %s", c.Name, c.Type)
	}
	return b.String()
}

// count counts the rows and sums their hashes, which is 0 for no rows. In the
// same scan it fills in the least and the greatest key, if key is not nil.
func (t table) count(ctx context.Context, tx pgx.Tx, method HashMethod, key *Key) (Content, error) {
	c := Content{Method: method}
	var row string
	switch method {
	case HashRecord:
		row = "hash_record_extended(ROW(" + columnList(t.columns) + "), 0)"
	case HashText:
		// Under collation C the text's bytes are hashed, whatever the database's is.
		row = "hashtextextended(ROW(" + columnList(t.columns) + ")::text COLLATE \"C\", 0)"
	default:
		return c, fmt.Errorf("the manifest has the hash method %q, which is unknown", method)
	}
	query := "SELECT count(*), coalesce(sum(" + row + "::numeric), 0)::text"
	into := []any{&c.Rows, &c.Hash}
	if key != nil {
		ordered := pgx.Identifier{key.Column}.Sanitize()
		if key.Type == "uuid" {
			ordered += "::text" // There is no min(uuid) before PostgreSQL 18; the order is the same.
		}
		query += fmt.Sprintf(", coalesce(min(%[1]s)::text, ''), coalesce(max(%[1]s)::text, '')", ordered)
		into = append(into, &key.Min, &key.Max)
	}
	if err := tx.QueryRow(ctx, query+" FROM ONLY "+t.sql()).Scan(into...); err != nil {
		return c, fmt.Errorf("counting the rows of %s: %w", t.name, err)
	}
	return c, nil
}

// estimate returns about how many rows there are, also of a table that was never
// analyzed: the planner knows how long the file is (PostgreSQL documentation, "How the
// Planner Uses Statistics").
func (t table) estimate(ctx context.Context, tx pgx.Tx) (int64, error) {
	var plan []struct {
		Plan struct {
			Rows int64 `json:"Plan Rows"`
		}
	}
	if err := tx.QueryRow(ctx, "EXPLAIN (FORMAT JSON) SELECT FROM ONLY "+t.sql()).Scan(&plan); err != nil {
		return 0, fmt.Errorf("estimating the rows of %s: %w", t.name, err)
	}
	if len(plan) != 1 {
		return 0, nil
	}
	return plan[0].Plan.Rows, nil
}

// EqualRows tells whether the target holds exactly the rows of the exports
// together, by the server's own count: nil, or a [*ChangedError]. The caller makes
// sure that nobody writes to the target. It is an error if the exports have other
// columns than one another.
func EqualRows(ctx context.Context, tx pgx.Tx, ms []Manifest, target partition.Name) error {
	if len(ms) == 0 {
		return errors.New("there is no archive to compare with")
	}
	sp, err := tx.Begin(ctx)
	if err != nil {
		return fmt.Errorf("setting a savepoint: %w", err)
	}
	err = equalRows(ctx, sp, ms, target)
	// Whatever the answer, going back undoes the settings.
	if back := sp.Rollback(ctx); back != nil {
		return errors.Join(err, fmt.Errorf("returning to a savepoint: %w", back))
	}
	return err
}

func equalRows(ctx context.Context, tx pgx.Tx, ms []Manifest, target partition.Name) error {
	if err := configure(ctx, tx); err != nil {
		return err
	}
	want := Content{Hash: "0", Method: ms[0].Content.Method}
	for _, m := range ms {
		if shape(m.Columns) != shape(ms[0].Columns) {
			return fmt.Errorf("%s has the columns (%s), and %s (%s): they cannot be compared with one table",
				ms[0].Key, shape(ms[0].Columns), m.Key, shape(m.Columns))
		}
		var err error
		if want, err = want.add(m.Content); err != nil {
			return err
		}
	}
	t := table{name: target, columns: ms[0].Columns}
	got, err := t.count(ctx, tx, want.Method, nil)
	if err != nil {
		return err
	}
	if got != want {
		return &ChangedError{Table: target, Want: want, Got: got}
	}
	return nil
}
