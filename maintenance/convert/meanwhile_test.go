package convert_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// TestMeanwhile has a row make a new month, and then another one come into the parent
// itself, between a plan and its swap: each time it is planned anew.
func TestMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	plans := 0
	r, err := convert.Run(t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		p, err := convert.Forward(ctx, conn, f.set, options)
		switch plans++; plans {
		case 1:
			f.exec("INSERT INTO chat_master (created_at) VALUES (localtimestamp - interval '20 months')")
		case 2:
			f.exec("ALTER TABLE chat_master DISABLE TRIGGER USER; INSERT INTO chat_master (created_at) VALUES (localtimestamp); ALTER TABLE chat_master ENABLE TRIGGER USER")
		}
		return p, err
	}, f.m.Log)
	// The third plan moves the row, and the fourth swaps.
	if err != nil || !r.Swapped || plans != 4 {
		t.Errorf("%d plans, %v", plans, err)
	}
	f.want("SELECT count(*) FROM chat_master", "602")
	f.want("SELECT count(*) FROM chat_default", "0")
}

// TestInTheWay has a reader who does not end, and then a swap that may take no time at
// all: both times the old set is as it was.
func TestInTheWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	before := f.schema()
	reader := f.db.Conn(t)
	if _, err := reader.PgConn().Exec(t.Context(), "BEGIN; SELECT FROM chat_master LIMIT 1").ReadAll(); err != nil {
		t.Fatal(err)
	}
	f.set.Limits.LockTimeout, f.set.Limits.Retries = 20*time.Millisecond, 2
	r, err := f.forward(options)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "55P03" && pgErr.Code != "57014" || r.Swapped || r.Retries != 2 {
		t.Errorf("%d retries, %v", r.Retries, err)
	}
	f.same("the schema", before, f.schema())
	if _, err := reader.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	o := options
	o.Bound = time.Millisecond
	if r, err = f.forward(o); !errors.Is(err, postgres.ErrSwapBound) || r.Swapped {
		t.Errorf("a swap within a millisecond: %v", err)
	}
	f.same("the schema", before, f.schema())
	if r, err = f.forward(options); err != nil || !r.Swapped {
		t.Error(err)
	}
}

// TestBusy has another instance at work on the set.
func TestBusy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	if _, err := convert.Run(t.Context(), nil, f.connect, f.set, func(context.Context, *pgx.Conn) (convert.Plan, error) {
		_, err := f.forward(options)
		return convert.Plan{}, err
	}, f.m.Log); !errors.Is(err, convert.ErrBusy) {
		t.Errorf("the second one: %v", err)
	}
}

// TestRowsRightAfterTheWayBack has a row come when a set has gone back and its routing
// functions are not renewed yet. The daemon has put another function under their name
// meanwhile, which would drop it, and somebody has enabled the trigger of the old parent:
// the row goes to the parent itself, and then to its month.
func TestRowsRightAfterTheWayBack(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"with a default partition": "", "without one": "DROP TABLE chat_default"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "")
			f.mustForward()
			f.pass()
			f.exec(before + "; ALTER TABLE chat_master_inherited ENABLE TRIGGER " + f.set.Trigger)
			log := slog.New(swapped{f.m.Log.Handler(), func() {
				f.exec("INSERT INTO chat_master (dialogue, created_at) VALUES ('right after', localtimestamp)")
				f.want("SELECT tableoid::regclass::text FROM chat_master WHERE dialogue = 'right after'", "chat_master")
			}})
			r, err := convert.Run(t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
				return convert.Back(ctx, conn, f.set, options)
			}, log)
			if err != nil || !r.Swapped {
				t.Fatalf("the way back: %+v, %v", r, err)
			}
			f.pass()
			f.want("SELECT count(*), count(*) FILTER (WHERE tableoid = 'chat_master'::regclass) FROM chat_master", "601 | 0")
		})
	}
}

// swapped does something when it is told that the swap is made.
type swapped struct {
	slog.Handler
	do func()
}

func (h swapped) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "swapped" {
		h.do()
	}
	return h.Handler.Handle(ctx, r)
}
