package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
)

// Databases are looked at side by side, as many as may be, however many ask.
func TestLooksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		m := New("1.2.3", log)
		var looking, all atomic.Int32
		release := make(chan struct{})
		source := Source{Parallel: 2}
		for i := range 6 {
			source.Databases = append(source.Databases, Database{Maintainer: &maintenance.Maintainer{Database: fmt.Sprint(i), Log: log, Connect: func(context.Context) (*pgx.Conn, error) {
				looking.Add(1)
				<-release
				looking.Add(-1)
				all.Add(1)
				return nil, errors.New("it is away")
			}}})
		}
		m.Use(source)
		for range 3 {
			go m.look(t.Context())
		}
		for n := range int32(6) {
			synctest.Wait() // Until all that can look does.
			if got, want := looking.Load(), min(2, 6-n); got != want {
				t.Errorf("%d are looked at at once, expected %d", got, want)
			}
			release <- struct{}{}
		}
		synctest.Wait()
		if all.Load() != 6 {
			t.Errorf("%d looks at 6 databases", all.Load())
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
