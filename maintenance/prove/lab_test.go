package prove

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive/s3test"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// lab makes copies of a scenario's state.
type lab struct {
	scenario
	server   *pgtemp.Server
	admin    *pgx.Conn
	template string
	// directory is the archive's, unless that is in a bucket of the S3 server.
	directory string
	s3        *s3test.Server
	bucket    string
	exports   sync.Map
	model     ledger
	// partitions are the OIDs of those that there were, without a default partition.
	partitions []string
	serial     atomic.Int64
}

func newLab(t *testing.T, s scenario) *lab { return newLabOn(t, s, nil) }

// newLabOn is newLab on a server of the test's own, unless that is nil.
func newLabOn(t *testing.T, s scenario, server *pgtemp.Server) *lab {
	t.Helper()
	l := &lab{scenario: s}
	if s.s3 {
		l.s3 = s3test.Start(t)
		l.bucket = l.s3.Bucket(t)
	}
	var db *pgtest.Database
	if server == nil {
		db = pgtest.New(t)
	} else {
		db = pgtest.On(t, server)
	}
	l.server, l.template, l.directory = db.Server, db.Name, t.TempDir()
	admin, err := pgx.Connect(t.Context(), l.server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	l.admin = admin
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	w := l.world(t, l.template, l.directory)
	run := func(statements string) {
		if _, err := w.super.PgConn().Exec(t.Context(), statements).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	run(s.tables)
	if s.then == partition.Drop || s.then == partition.Detach {
		w.set.Retention.Then = partition.Keep // What is to leave has to be there first.
	}
	for _, before := range s.passes {
		run(before)
		l.finish(t, w)
	}
	if s.more != nil {
		s.more(t, l, w)
	}
	run(s.state)
	l.partitions = w.strings("SELECT c.oid::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE inhparent = $1::text::regclass AND pg_get_expr(relpartbound, c.oid) IS DISTINCT FROM 'DEFAULT'", quoted(w.set.Parent))
	l.model = ledger{}
	for id, all := range w.look() {
		l.model[id] = all[0].row
	}
	l.leave(w)
	return l
}

// world opens a database.
func (l *lab) world(t *testing.T, name, directory string) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), id: l.id, exports: &l.exports}
	var err error
	if w.super, err = connect(t.Context(), l.server.URL(name)); err != nil {
		t.Fatal(err)
	}
	config := l.text(directory)
	if w.m, w.set, err = maintainer(config, l.server.URL(name), silent); err != nil {
		t.Fatal(err)
	}
	w.looker, w.archived, _ = maintainer(config, l.server.URL(name), silent)
	for _, m := range []*maintenance.Maintainer{w.m, w.looker} {
		m.Archiving.S3.Endpoint, m.Archiving.S3.PathStyle = l.endpoint(), true
	}
	if w.archived.Retention.Archive == "" {
		w.archived.Retention.Archive = "file://" + directory
	}
	return w
}

func (l *lab) endpoint() string {
	if l.s3 == nil {
		return ""
	}
	return l.s3.Endpoint
}

// text is the configuration with the archive in its place.
func (l *lab) text(directory string) string {
	url := "file://" + directory
	if l.s3 != nil {
		url = "s3://" + l.bucket + "/" + filepath.Base(directory)
	}
	return strings.ReplaceAll(l.config, "{{archive}}", url)
}

func (l *lab) leave(w *world) { _ = w.super.Close(context.Background()) }

// finish makes the pass that has to leave nothing to do.
func (l *lab) finish(t *testing.T, w *world) {
	t.Helper()
	report, err := w.m.Pass(t.Context(), nil, []partition.Set{w.set})
	if err != nil || report.Status() != maintenance.Done && report.Status() != maintenance.Idle {
		t.Fatalf("the pass after is %s, %v: %+v", report.Status(), err, report)
	}
	if p := w.plan(); !p.Empty() {
		t.Fatalf("after the pass is left:\n%s", words(p))
	}
}

// copy makes a copy of the state, and returns what opens it again.
func (l *lab) copy(t *testing.T) (name, directory string) {
	t.Helper()
	name = fmt.Sprintf("%s_copy_%d", l.template, l.serial.Add(1))
	if _, err := l.admin.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+l.template); err != nil {
		t.Fatal(err)
	}
	return name, l.copyArchive(t, name)
}

func (l *lab) copyArchive(t *testing.T, name string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(to, os.DirFS(l.directory)); err != nil {
		t.Fatal(err)
	}
	return to
}

func (l *lab) drop(t *testing.T, name, directory string) {
	t.Helper()
	if _, err := l.admin.Exec(t.Context(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(directory); err != nil {
		t.Error(err)
	}
}

func (l *lab) task(name, directory string, at int64) task {
	return task{URL: l.server.URL(name), Config: l.text(directory), Work: l.work, Endpoint: l.endpoint(), At: at}
}

// count lets the work come to its end, and tells how many points it has. A drain has more
// of them the more a client writes.
func (l *lab) count(t *testing.T, written bool) int {
	t.Helper()
	name, directory := l.copy(t)
	defer l.drop(t, name, directory)
	if written && l.work == drain {
		w := l.world(t, name, directory)
		defer l.leave(w)
		_, stop := l.write(t, w, l.model, firstOfClient)
		defer stop()
	}
	c := pgtest.Spawn(t, l.task(name, directory, 0))
	if c.Err != nil {
		t.Fatalf("undisturbed: %v\n%s", c.Err, c.Output)
	}
	for line := range strings.Lines(c.Output) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "points "); ok {
			count, err := strconv.Atoi(n)
			if err != nil || count == 0 {
				t.Fatalf("%q points: %v", n, err)
			}
			return count
		}
	}
	t.Fatalf("it does not say how many points there are:\n%s", c.Output)
	return 0
}

// firstLate is a number before those of the rows that come after an export.
const firstLate = 900_000

// crash kills the work at a point, and tells whether it had so many.
func (l *lab) crash(t *testing.T, at int64) (killed bool) {
	t.Helper()
	name, directory := l.copy(t)
	defer l.drop(t, name, directory)
	w := l.world(t, name, directory)
	defer l.leave(w)
	model, stop := l.write(t, w, l.model, firstOfClient)
	k := l.task(name, directory, at)
	if l.late != 0 {
		k.Late = fmt.Sprintf("INSERT INTO %s (%s, %s) VALUES (%d + {{n}}, date_trunc('month', localtimestamp) + interval '%d months')", quoted(w.set.Parent), l.id, pgx.Identifier{w.set.Key}.Sanitize(), firstLate, l.late)
	}
	c := pgtest.Spawn(t, k)
	stop()
	for line := range strings.Lines(c.Output) {
		if n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "late ")); err == nil && strings.HasPrefix(line, "late ") {
			model[strconv.Itoa(firstLate+n)] = row{}
		}
	}
	// What late rows go on coming to is not archived, and the pass says so.
	if !c.Killed && c.Err != nil && l.late == 0 {
		t.Fatalf("point %d: the process ended with %v:\n%s", at, c.Err, c.Output)
	}
	label := lastLine(c.Output)
	l.awaitAlone(w)
	l.settled(t, w, model, label)
	return c.Killed
}

// mayLack spares the rows that retention drops.
func (l *lab) mayLack(w *world) func(string, row) bool {
	if l.then != partition.Drop {
		return nil
	}
	cutoff := time.Now().UTC().AddDate(0, -12, 0).Format("2006-01")
	return func(_ string, r row) bool {
		at, ok := r[w.set.Key].(string)
		return ok && at < cutoff
	}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
