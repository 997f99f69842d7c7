package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// demoState is what the database is like at one time.
type demoState struct {
	tables []demoTable
	// stray are the rows in the parent itself.
	stray int64
	total demoTotal
	// ahead are the partitions that begin in the future.
	ahead int

	query  demoQuery
	insert float64 // rows a second
	// refused is what the server says to role app, empty where it takes the row: one
	// of the present month, and one of a month that has no table yet.
	refused [2]string
}

// demoTable is a partition.
type demoTable struct {
	name, bounds, check string
	rows, bytes         int64
	indexes             int
	readable            bool
}

// demoTotal sums rows up: their number, and the sum of their hashes, which no
// order of them changes.
type demoTotal struct {
	rows int64
	hash string
}

// demoQuery is one query's plan and time.
type demoQuery struct {
	text   string
	answer int64
	// scans are the kinds of scans, one for each table.
	scans  []string
	median time.Duration
}

func (d *demo) observe(ctx context.Context, plan maintenance.Planned) (*demoState, error) {
	s := &demoState{}
	rows, err := d.conn.Query(ctx, `SELECT c.relname, pg_total_relation_size(c.oid), coalesce(r.n, 0),
		       (SELECT count(*) FROM pg_index WHERE indrelid = c.oid), has_table_privilege('readonly', c.oid, 'SELECT')
		  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
		  LEFT JOIN (SELECT tableoid AS oid, count(*) AS n FROM public.chat_master GROUP BY tableoid) AS r ON r.oid = c.oid
		 WHERE i.inhparent = 'public.chat_master'::regclass ORDER BY c.relname`)
	if err != nil {
		return nil, fmt.Errorf("look at the partitions: %w", err)
	}
	s.tables, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (t demoTable, err error) {
		err = r.Scan(&t.name, &t.bytes, &t.rows, &t.indexes, &t.readable)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the partitions: %w", err)
	}
	for _, p := range plan.Snapshot.Partitions {
		if i := slices.IndexFunc(s.tables, func(t demoTable) bool { return t.name == p.Name.Local }); i >= 0 {
			s.tables[i].bounds, s.tables[i].check = p.Bounds.String(), demoCheck(p)
		}
		if p.Bounds.From.Inf == 0 && p.Bounds.From.Time.After(d.now) {
			s.ahead++
		}
	}
	if err := d.conn.QueryRow(ctx, "SELECT count(*) FROM ONLY public.chat_master").Scan(&s.stray); err != nil {
		return nil, fmt.Errorf("count the rows in the parent: %w", err)
	}
	if s.total, err = d.sum(ctx, "public.chat_master"); err != nil {
		return nil, fmt.Errorf("count the rows: %w", err)
	}
	return s, nil
}

// demoCheck says what a partition's CHECK is about.
func demoCheck(p partition.Partition) string {
	for _, c := range p.Checks {
		if c.Plain && c.Validated {
			return "created_at"
		}
	}
	for _, c := range p.Checks {
		if strings.Contains(c.Definition, "date_trunc") {
			return "date_trunc(...)"
		}
	}
	return "something else"
}

// sum counts the rows of the tables and sums up their hashes.
func (d *demo) sum(ctx context.Context, tables ...string) (demoTotal, error) {
	parts := make([]string, len(tables))
	for i, t := range tables {
		parts[i] = "SELECT id, program_id, user_id, dialogue, created_at FROM " + t
	}
	var t demoTotal
	err := d.conn.QueryRow(ctx, "SELECT count(*), coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text FROM ("+
		strings.Join(parts, " UNION ALL ")+") AS r").Scan(&t.rows, &t.hash)
	return t, err
}

// measure adds to a state what can be timed, and undoes what that takes.
func (d *demo) measure(ctx context.Context, s *demoState) error {
	if err := d.measureQuery(ctx, &s.query); err != nil {
		return fmt.Errorf("time the query: %w", err)
	}
	if err := d.measureInserts(ctx, s); err != nil {
		return fmt.Errorf("time the inserts: %w", err)
	}
	month := d.month(0)
	for i, at := range []time.Time{d.now, month.AddDate(0, d.set.Ahead+1, 0)} {
		refused, err := d.tryAsApp(ctx, at)
		if err != nil {
			return fmt.Errorf("insert as app: %w", err)
		}
		s.refused[i] = refused
	}
	// Rows that were rolled back take up space until they are vacuumed away.
	if _, err := d.conn.Exec(ctx, "VACUUM chat_"+month.Format("2006_01")); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// month is the first day of the month that is n months after the present one.
func (d *demo) month(n int) time.Time {
	return time.Date(d.now.Year(), d.now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
}

func (d *demo) measureQuery(ctx context.Context, q *demoQuery) error {
	q.text = fmt.Sprintf("SELECT count(*) FROM chat_master\n WHERE created_at >= '%s' AND created_at < '%s' AND user_id = 'u042'",
		d.month(-2).Format(time.DateOnly), d.month(-1).Format(time.DateOnly))
	var plan []byte
	if err := d.conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+q.text, pgx.QueryExecModeSimpleProtocol).Scan(&plan); err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	var explained []struct{ Plan demoNode }
	if err := json.Unmarshal(plan, &explained); err != nil || len(explained) == 0 {
		return fmt.Errorf("read the plan: %w", err)
	}
	q.scans = explained[0].Plan.scans(nil)
	const runs = 9
	took := make([]time.Duration, runs)
	for i := range took {
		began := time.Now()
		// The simple protocol plans anew each time, as a query that comes once is.
		if err := d.conn.QueryRow(ctx, q.text, pgx.QueryExecModeSimpleProtocol).Scan(&q.answer); err != nil {
			return err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	q.median = took[runs/2]
	return nil
}

// demoNode is a node of a plan (PostgreSQL documentation, EXPLAIN).
type demoNode struct {
	Type     string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Plans    []demoNode `json:"Plans"`
}

// scans appends the kinds of the scans of tables, in the order of the plan.
func (n demoNode) scans(to []string) []string {
	if n.Relation != "" {
		to = append(to, n.Type)
	}
	for _, p := range n.Plans {
		to = p.scans(to)
	}
	return to
}

// errRollback ends a transaction that was only to look.
var errRollback = errors.New("roll back")

// rehearse runs f as the role in a transaction, of which nothing stays.
func (d *demo) rehearse(ctx context.Context, role string, f func(tx pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+role); err != nil {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		return errRollback
	})
	if errors.Is(err, errRollback) {
		return nil
	}
	return err
}

func (d *demo) measureInserts(ctx context.Context, s *demoState) error {
	n := min(d.rows, demoRows)
	const runs = 3
	took := make([]time.Duration, runs)
	for i := range took {
		err := d.rehearse(ctx, "chat_owner", func(tx pgx.Tx) error {
			began := time.Now()
			_, err := tx.Exec(ctx, `INSERT INTO public.chat_master (program_id, user_id, dialogue, created_at)
				SELECT 'quiz-night', 'u' || n % 200, 'the answer is ' || n, $1::timestamp - n * interval '1 microsecond'
				  FROM generate_series(0, $2::integer - 1) AS n`, d.now, n)
			took[i] = time.Since(began)
			return err
		})
		if err != nil {
			return err
		}
	}
	slices.Sort(took)
	s.insert = float64(n) / took[runs/2].Seconds()
	return nil
}

// tryAsApp inserts a row as role app, which may insert into the parent and has
// no other privilege. It returns what the server says against it.
func (d *demo) tryAsApp(ctx context.Context, at time.Time) (refused string, err error) {
	err = d.rehearse(ctx, "app", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO public.chat_master (program_id, user_id, dialogue, created_at) VALUES ('weather', 'u001', 'hello', $1)", at)
		return err
	})
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return answer.Message, nil
	}
	return "", err
}
