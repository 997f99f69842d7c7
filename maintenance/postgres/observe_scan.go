package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// look is one query of rows. They go to the server together, each in a
// transaction of its own, so that one that fails leaves the others alone.
type look struct {
	sql    string
	limits partition.Limits
	row    func(*row)
	// failed is told why it could not be made.
	failed func(why string)
}

// scan is the fourth round trip, where there is one: it looks at the rows of
// partitions whose bounds no validated CHECK proves, and of parents that have rows.
func (o *observation) scan(ctx context.Context) error {
	var looks []look
	for i, set := range o.sets {
		snap := &o.snaps[i]
		switch p := snap.Parent; {
		case p == nil || p.Key == "" || p.NotTable != "":
			continue
		case p.Declarative:
			if d := snap.Default; d != nil && (d.Bytes > 0 || p.Distributed) {
				looks = append(looks, straysLook(set, snap, d.Name))
			}
			continue
		}
		for j := range snap.Partitions {
			switch c := &snap.Partitions[j]; {
			case c.Known == partition.BoundsFromCheck:
			case c.Foreign:
				// Another server would have to read them all, and nothing there keeps
				// them as they are.
				unseen(c, "a foreign table's rows prove nothing")
			case c.Known == partition.BoundsClaimed:
				looks = append(looks, claimLook(set, snap.Parent.Key, c))
			default:
				looks = append(looks, rowsLook(set, snap.Parent.Key, c))
			}
		}
		if o.parents[i].hasPages {
			looks = append(looks, straysLook(set, snap, set.Parent))
		}
	}
	if len(looks) == 0 {
		return nil
	}
	if err := o.runLooks(ctx, looks); err != nil {
		return err
	}
	for i, set := range o.sets {
		settleStrays(set, &o.snaps[i])
	}
	return nil
}

// runLooks sends all queries at once. The settings are local to the transaction
// that each has with them (PostgreSQL documentation, 55.2.4 Pipelining).
func (o *observation) runLooks(ctx context.Context, looks []look) error {
	pipeline := o.conn.PgConn().StartPipeline(ctx)
	for _, l := range looks {
		lock := l.limits.LockTimeout
		if lock <= 0 {
			lock = defaultLockTimeout
		}
		pipeline.SendQueryParams(observeSQL("settings"), [][]byte{milliseconds(lock).value, milliseconds(l.limits.StatementTimeout).value}, nil, nil, nil)
		pipeline.SendQueryParams(l.sql, nil, nil, nil, nil)
		pipeline.SendPipelineSync()
	}
	if err := pipeline.Flush(); err != nil {
		return errors.Join(err, pipeline.Close())
	}
	for _, l := range looks {
		if err := l.read(pipeline, o.pool); err != nil {
			return errors.Join(err, pipeline.Close())
		}
	}
	return pipeline.Close()
}

// read takes one query's answers up to the end of its transaction.
func (l look) read(pipeline *pgconn.Pipeline, pool texts) error {
	var bad error
	for n := 0; ; n++ {
		results, err := pipeline.GetResults()
		if err != nil {
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) {
				return err
			}
			bad = err
			continue
		}
		switch r := results.(type) {
		case *pgconn.ResultReader:
			if n == 0 {
				_, err = r.Close()
			} else {
				err = statement{name: "rows", row: l.row}.drain(r, pool)
			}
			if err != nil {
				bad = err
			}
		case *pgconn.PipelineSync:
			if bad != nil {
				l.failed(briefError(bad))
			}
			return nil
		}
	}
}

// drain reads all rows and returns the server's error, too.
func (s statement) drain(reader *pgconn.ResultReader, pool texts) error {
	r := row{pool: pool}
	for reader.NextRow() {
		r.values = reader.Values()
		s.row(&r)
	}
	if _, err := reader.Close(); err != nil {
		return err
	}
	return r.err
}

func briefError(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Message
	}
	return err.Error()
}

// fill puts names and expressions into a query of the sql package.
func fill(name string, set partition.Set, table partition.Name, more ...string) string {
	pairs := append([]string{"{table}", quoteName(table), "{key}", quoteIdent(set.Key)}, more...)
	return strings.NewReplacer(pairs...).Replace(observeSQL(name))
}

// unseen notes why a partition's bounds could not be found from its rows.
func unseen(c *partition.Partition, why string) {
	c.Bounds, c.Known, c.Unseen = partition.Everywhere, partition.BoundsUnknown, why
}

func claimLook(set partition.Set, key partition.KeyType, c *partition.Partition) look {
	return look{
		sql: fill("scan_claim", set, c.Name, "{outside}", "NOT ("+boundsExpression(set.Key, key, c.Bounds)+")"), limits: set.Limits,
		row: func(r *row) {
			c.Empty = r.int(0) == 0
			if n := r.int(1); n > 0 {
				c.Violation = &partition.Violation{Rows: n, Examples: examples(r.text(3), r.text(4))}
			}
		},
		failed: func(why string) { unseen(c, why) },
	}
}

func rowsLook(set partition.Set, key partition.KeyType, c *partition.Partition) look {
	return look{
		sql: fill("scan_rows", set, c.Name), limits: set.Limits,
		row: func(r *row) {
			n, nulls := r.int(0), r.int(1)
			if n == 0 {
				c.Empty = true
				return
			}
			if nulls == 0 {
				first, last := r.edge(2), r.edge(3)
				if period := set.PeriodOf(first.Time, key); first.Inf == 0 && last.Inf == 0 && period.Contains(last.Time) {
					c.Bounds, c.Known = period.Bounds(), partition.BoundsFromRows
					return
				}
			}
			c.Violation = &partition.Violation{Rows: n, Nulls: nulls, Examples: examples(r.text(4), r.text(5))}
		},
		failed: func(why string) { unseen(c, why) },
	}
}

// straysLook groups the rows of a parent, or of a default partition, by day or hour,
// and then by period.
func straysLook(set partition.Set, snap *partition.Snapshot, table partition.Name) look {
	key := snap.Parent.Key
	finite, moment := keyMoment(quoteIdent(set.Key), key)
	unit, zone, wall := "day", set.Location.String(), moment+"::timestamp without time zone"
	if set.Interval.Unit == partition.Hour {
		unit, zone = "hour", "UTC"
	}
	if key.Instant() {
		wall = moment + " AT TIME ZONE " + quoteLiteral(zone)
	}
	// Rows with dates at random make a period each: they are found by it.
	type home struct {
		outside bool
		from    int64
	}
	places := map[home]int{}
	return look{
		sql: fill("scan_strays", set, table, "{unit}", quoteLiteral(unit), "{wall}", wall, "{finite}", finite, "{moment}", moment, "{ordered}", keyOrdered(set.Key, key)), limits: set.Limits,
		row: func(r *row) {
			s := partition.Stray{Rows: r.int(1), Outside: r.null(0), Examples: examples(r.text(4), r.text(6))}
			if s.Outside {
				if r.int(2) > 0 {
					s.Examples = append([]string{"NULL"}, s.Examples...)
				}
			} else {
				s.Period = set.PeriodOf(r.edge(3).Time, key)
			}
			at := home{s.Outside, s.Period.From.Unix()}
			if i, ok := places[at]; ok {
				snap.Strays[i] = mergeStrays(snap.Strays[i], s)
				return
			}
			places[at] = len(snap.Strays)
			snap.Strays = append(snap.Strays, s)
		},
		failed: func(why string) { snap.Strays, snap.StraysUnseen = nil, why },
	}
}

// settleStrays tells which rows belong nowhere: their period lies outside of the
// window and has no partition.
func settleStrays(set partition.Set, snap *partition.Snapshot) {
	if len(snap.Strays) == 0 {
		return
	}
	present := set.Wall(snap.Server.Now, snap.Parent.Key)
	oldest, newest := set.Window.Past.AddTo(present, -1), set.Window.Future.AddTo(present, 1)
	outside := partition.Stray{Outside: true}
	hasHome := homes(snap.Partitions)
	var inside []partition.Stray
	for _, s := range snap.Strays {
		if s.Outside || (!s.Period.To.After(oldest) || s.Period.From.After(newest)) && !hasHome(s.Period.Bounds()) {
			outside = mergeStrays(outside, s)
			continue
		}
		inside = append(inside, s)
	}
	if outside.Rows > 0 {
		inside = append(inside, outside)
	}
	snap.Strays = inside
}

// homes returns a test for whether one of the partitions covers bounds: there
// may be many of both.
func homes(partitions []partition.Partition) func(partition.Bounds) bool {
	var known []partition.Bounds
	for _, c := range partitions {
		if c.Known != partition.BoundsUnknown {
			known = append(known, c.Bounds)
		}
	}
	slices.SortFunc(known, func(a, b partition.Bounds) int { return a.From.Compare(b.From) })
	// How far those reach that begin no later than the i-th.
	for i := 1; i < len(known); i++ {
		if known[i].To.Compare(known[i-1].To) < 0 {
			known[i].To = known[i-1].To
		}
	}
	return func(b partition.Bounds) bool {
		after, _ := slices.BinarySearchFunc(known, b.From, func(k partition.Bounds, from partition.Edge) int {
			if k.From.Compare(from) <= 0 {
				return -1
			}
			return 1
		})
		return after > 0 && known[after-1].To.Compare(b.To) >= 0
	}
}

const maxExamples = 3

func mergeStrays(a, b partition.Stray) partition.Stray {
	a.Rows += b.Rows
	for _, e := range b.Examples {
		if len(a.Examples) < maxExamples && !slices.Contains(a.Examples, e) {
			a.Examples = append(a.Examples, e)
		}
	}
	return a
}

// examples returns the two texts, or one if they are the same or one is empty.
func examples(first, last string) []string {
	var out []string
	for _, e := range []string{first, last} {
		if e != "" && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}
