package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// defaultLockTimeout bounds waits for a lock where a set's limits do not.
const defaultLockTimeout = 2 * time.Second

// catalogTimeout bounds each query of the catalogs, whatever the role's default is.
const catalogTimeout = time.Minute

// SetErrors says which sets could not be observed: it has one entry for each set
// that was asked for, in their order, nil where all is well.
type SetErrors []error

// Error joins the errors of all sets.
func (e SetErrors) Error() string { return errors.Join(e...).Error() }

// Unwrap returns the errors of all sets, for [errors.Is] and [errors.As].
func (e SetErrors) Unwrap() []error {
	var out []error
	for _, err := range e {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// Observe looks at all sets of one database and returns a snapshot for each, in
// their order. It needs three round trips, and a fourth where rows have to be
// looked at, however many sets and partitions there are; it reads the catalogs
// in one read-only transaction and takes no lock stronger than ACCESS SHARE.
//
// What a role may not read, or cannot within the set's limits, is a fact of the
// snapshot and no error. Where a set's catalog entries cannot be read, because
// somebody holds ACCESS EXCLUSIVE on its parent or because its tables come and
// go meanwhile, the error is a [SetErrors]: its snapshot is empty then, and the
// other snapshots are good. Any other error concerns the database as a whole.
//
// On a connection that is in a transaction Observe sees what that sees, and leaves it
// open; holds are not looked at then, and after an error the transaction is lost.
func Observe(ctx context.Context, conn *pgx.Conn, sets []partition.Set) ([]partition.Snapshot, error) {
	return ObserveBeside(ctx, conn, nil, sets)
}

// ObserveBeside does what [Observe] does, with a second connection that reads a
// part of the catalogs at the same time, and sees them as the first one does. That
// takes one round trip more on the first connection, and two on the second, which
// is of no further use then. Without a second one, or where it is of no help, as
// when it leads to another server, the first one does all.
func ObserveBeside(ctx context.Context, conn, beside *pgx.Conn, sets []partition.Set) ([]partition.Snapshot, error) {
	if len(sets) == 0 {
		return nil, nil
	}
	if beside != nil {
		snaps, err := observeTogether(ctx, conn, beside, sets)
		if err == nil || conn.IsClosed() || ctx.Err() != nil {
			return snaps, err
		}
	}
	snaps, err := observeTogether(ctx, conn, nil, sets)
	if err == nil || !ofOneSet(conn, err) {
		return snaps, err
	}
	// Somewhere in the catalogs a table was in the way. One after the other, the
	// sets show whose it is.
	snaps = make([]partition.Snapshot, len(sets))
	failed := make(SetErrors, len(sets))
	bad := false
	for i := range sets {
		one, err := observeTogether(ctx, conn, nil, sets[i:i+1])
		if err != nil && meanwhile(err) {
			one, err = observeTogether(ctx, conn, nil, sets[i:i+1])
		}
		switch {
		case err == nil:
			snaps[i] = one[0]
		case ofOneSet(conn, err):
			failed[i], bad = fmt.Errorf("observe %s: %w", sets[i].Parent, err), true
		default:
			return nil, err
		}
	}
	if bad {
		return snaps, failed
	}
	return snaps, nil
}

// ofOneSet tells whether an error may come from one set's tables alone: the
// server answered it and still listens.
func ofOneSet(conn *pgx.Conn, err error) bool {
	if conn.IsClosed() {
		return false
	}
	if errors.Is(err, errVanished) || errors.Is(err, errUnexpected) {
		return true
	}
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && !strings.HasPrefix(pgErr.Code, "57") && !strings.HasPrefix(pgErr.Code, "53")
}

// meanwhile tells whether an error may come from a table that was dropped
// between two looks at it: deparsing reads the catalogs as they are now, not as
// the transaction sees them.
func meanwhile(err error) bool {
	var pgErr *pgconn.PgError
	return errors.Is(err, errVanished) || errors.As(err, &pgErr) && (pgErr.Code == "XX000" || strings.HasPrefix(pgErr.Code, "42"))
}

// observation is the state of one look at a number of sets.
type observation struct {
	conn *pgx.Conn
	// beside reads a part of the catalogs; nil if conn reads all.
	beside *pgx.Conn
	// within tells that the caller has begun a transaction, which goes on.
	within bool
	shared shared
	sets   []partition.Set
	pool   texts

	// wanted are the parents' schemas and names, as arguments of queries.
	wanted      []argument
	lockTimeout time.Duration

	server    partition.Server
	blockSize int64
	// tables are parents and partitions by their OID, order is that in which they were found.
	tables map[uint32]*table
	order  []*table
	// columns, facts and indexes are what tables have, each once for all that do.
	columns     []column
	facts       []partition.Property
	factNumbers map[partition.Property]uint32
	indexes     []rawIndex
	// parents are nil where there is none; family are the partitions, in their
	// order; setsOf are the sets that a table is the parent of.
	parents []*parent
	family  [][]*table
	setsOf  map[uint32][]int
	// defaultOf are the sets that a table is the default partition of.
	defaultOf map[uint32]int
	// snaps are the result.
	snaps []partition.Snapshot
	// values are what the constants of CHECKs mean.
	values map[literal]partition.Edge
	// reads is what was understood of each CHECK.
	reads map[checkOf]*checkRead
	// routines are the functions with the names of a set's three, by 3*set+place.
	routines map[int64][]routine
	// indexKinds are all indexes that are alike.
	indexKinds map[indexKind]*indexKindInfo
	// holdTable is nil where there is no table of holds; holdsUnseen is why they
	// could not be read.
	holdTable   *holdTable
	holdsUnseen string
	// vanished tells that something could not be deparsed any more.
	vanished bool
}

// errVanished says that something which the transaction sees was dropped before
// it could be deparsed. What is missing then must not be taken for missing from
// the tables.
var errVanished = errors.New("a table or an index was dropped while it was looked at")

// errUnexpected says that what PostgreSQL printed is not of the form that is known.
// It must not be taken for an index that is missing.
var errUnexpected = errors.New("an index's definition is not what it was expected to be")

func observeTogether(ctx context.Context, conn, beside *pgx.Conn, sets []partition.Set) (snaps []partition.Snapshot, err error) {
	o := &observation{defaultOf: map[uint32]int{}, conn: conn, beside: beside, sets: sets, pool: texts{}, tables: map[uint32]*table{}, setsOf: map[uint32][]int{},
		parents: make([]*parent, len(sets)), family: make([][]*table, len(sets)), snaps: make([]partition.Snapshot, len(sets)),
		values: map[literal]partition.Edge{}, reads: map[checkOf]*checkRead{}, factNumbers: map[partition.Property]uint32{}, routines: map[int64][]routine{}, indexKinds: map[indexKind]*indexKindInfo{}}
	o.within = conn.PgConn().TxStatus() != 'I'
	defer func() {
		if err != nil && !o.within && !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
			// Not with the caller's context: it may be what ended the transaction.
			_, _ = conn.PgConn().Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll()
		}
	}()
	if err := o.findTables(ctx); err != nil {
		return nil, fmt.Errorf("find the tables: %w", err)
	}
	if err := o.readCatalog(ctx); err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	if err := o.readDefinitions(ctx); err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	o.assemble()
	if err := o.scan(ctx); err != nil {
		return nil, fmt.Errorf("look at rows: %w", err)
	}
	return o.snaps, nil
}

// findTables is the first round trip: the server, the parents and their partitions.
func (o *observation) findTables(ctx context.Context) error {
	schemas, names, marks := make([]string, len(o.sets)), make([]string, len(o.sets)), make([]string, len(o.sets))
	o.lockTimeout = defaultLockTimeout
	for i, s := range o.sets {
		schemas[i], names[i], marks[i] = s.Parent.Schema, s.Parent.Local, partition.RetireMark(s.Parent)
		if l := s.Limits.LockTimeout; l > 0 {
			o.lockTimeout = min(o.lockTimeout, l)
		}
	}
	wanted := []argument{textArray(schemas), textArray(names)}
	o.wanted = wanted
	withMarks := append(slices.Clone(wanted), textArray(marks))
	var first, last time.Time
	var here, there batch
	columns := &here
	if o.beside == nil {
		o.begin(&here)
	} else {
		if err := o.share(ctx); err != nil {
			return err
		}
		o.join(&there)
		columns = &there
	}
	here.add("server", func(r *row) {
		first = r.time(0)
		o.server = partition.Server{Now: first, Version: int(r.int(1)), Standby: r.flag(2), Role: r.text(3)}
		o.blockSize = r.int(4)
	})
	here.add("parents", o.addParent, wanted...)
	here.add("children", o.addChild, withMarks...)
	columns.add("attributes", o.addColumn, withMarks...)
	here.add("hold_table", o.addHoldTable)
	here.add("clock", func(r *row) { last = r.time(0) })
	sent := time.Now()
	if err := o.run(ctx, &here, &there); err != nil {
		return err
	}
	received := time.Now()
	o.server.Skew = (first.Sub(sent) + last.Sub(received)) / 2
	for _, family := range o.family {
		slices.SortFunc(family, func(a, b *table) int {
			return cmp.Or(strings.Compare(a.name.Local, b.name.Local), strings.Compare(a.name.Schema, b.name.Schema))
		})
	}
	o.settleColumns()
	return nil
}

func milliseconds(d time.Duration) argument {
	return textArg(fmt.Sprintf("%dms", d.Milliseconds()))
}

// readDefinitions is the third round trip: what the constants of the CHECKs
// mean, and one definition for each kind of index. It ends the transaction, and
// then reads the holds.
func (o *observation) readDefinitions(ctx context.Context) error {
	literals := o.literals()
	lTexts, lTypes := make([]string, len(literals)), make([]string, len(literals))
	for i, l := range literals {
		lTexts[i], lTypes[i] = l.text, string(l.kind)
	}
	byOID := map[uint32]*indexKindInfo{}
	var representatives []uint32
	for _, kind := range o.indexKinds {
		byOID[kind.oid] = kind
		representatives = append(representatives, kind.oid)
	}
	var b batch
	b.add("literals", func(r *row) { o.values[literals[r.int(0)]] = r.edge(1) }, textArray(lTexts), textArray(lTypes))
	b.add("index_definitions", func(r *row) {
		byOID[r.oid(0)].definition = r.text(1)
		o.vanished = o.vanished || r.flag(2)
	}, oidArray(representatives))
	if !o.within {
		b.addText("commit", "COMMIT", nil)
		o.addHolds(&b)
	}
	if err := o.run(ctx, &b, nil); err != nil {
		return err
	}
	for _, read := range o.reads {
		read.is = read.bounds(o.values)
	}
	for oid, kind := range byOID {
		if kind.definition == "" {
			return fmt.Errorf("index %d: %w", oid, errUnexpected)
		}
	}
	return nil
}

// edge reads a number of seconds since 1970, as extract(epoch) gives it: exact
// to the microsecond, beyond what an int64 of those can hold, or infinite.
func (r *row) edge(i int) partition.Edge {
	text := r.text(i)
	switch text {
	case "Infinity":
		return partition.PlusInfinity
	case "-Infinity":
		return partition.MinusInfinity
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, micros := r.parse(whole), r.parse((fraction + "000000")[:6])
	if strings.HasPrefix(whole, "-") {
		micros = -micros
	}
	return partition.At(time.Unix(seconds, micros*1000).UTC())
}
