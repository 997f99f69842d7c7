package prove

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// betweenPasses is how long a living child's schedule waits from pass to pass.
const betweenPasses = 2 * time.Second

// told is what a living child says after a pass.
type told struct {
	Report maintenance.Report
	Error  string
}

// live does what the daemon does, by the server's clock: passes on a schedule, and at
// once where rows have come into a default partition, and a monitor. First it says
// where that listens.
func (k task) live() error {
	m, set, err := (&trap{}).maintainer(k, nil)
	if err != nil {
		return err
	}
	m.Log = silent
	m.Clock = func() time.Time {
		b, err := os.ReadFile(k.Shift)
		if err != nil || len(b) != 8 {
			return time.Time{} // A clock that is wrong keeps everything from being removed.
		}
		return time.Now().Add(time.Duration(binary.NativeEndian.Uint64(b)) * time.Second)
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	mon := monitor.New("soak", silent)
	if err := mon.Listen(ctx, monitor.Listen{Network: "tcp", Address: "127.0.0.1:0"}); err != nil {
		return err
	}
	fmt.Println(mon.Addr())
	schedule := cron.Every(betweenPasses)
	mon.Use(monitor.Source{Databases: []monitor.Database{{Maintainer: m, Sets: []monitor.Set{{Set: set, Schedule: schedule}}}}})

	scheduler := maintenance.NewScheduler(silent)
	var printing sync.Mutex
	pass := func(ctx context.Context, stop <-chan struct{}) maintenance.Pass {
		var t told
		report, err := m.Pass(ctx, stop, []partition.Set{set})
		if t.Report = report; err != nil {
			t.Error = err.Error()
		}
		printing.Lock()
		defer printing.Unlock()
		_ = json.NewEncoder(os.Stdout).Encode(t)
		return nil
	}
	listener := maintenance.NewListener(silent)
	m.Watchers = append(m.Watchers, listener)
	listener.Follow(m.Connect, func(_ string, done func()) {
		scheduler.Start("", func(ctx context.Context, stop <-chan struct{}) maintenance.Pass {
			defer done()
			return pass(ctx, stop)
		})
	})
	go listener.Run(ctx)
	scheduler.Set([]maintenance.Job{{Schedule: schedule, Pass: pass}}, 1)
	_, _ = io.Copy(io.Discard, os.Stdin)
	scheduler.Stop(time.Minute)
	return mon.Close(ctx)
}
