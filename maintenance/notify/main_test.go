package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// ages is a bound that nothing reaches unless it hangs.
const ages = 2 * time.Minute

// logged is a log that tests look into.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// inbox is a webhook that keeps what it is sent. Its URL's path is a secret.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	events []Event
	bodies []string
}

const secret = "hunter2"

// newInbox returns a webhook that answers as the function says; nil is 200.
func newInbox(t *testing.T, answer http.HandlerFunc) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var e Event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("%q: %v", body, err)
		}
		in.mu.Lock()
		in.events, in.bodies = append(in.events, e), append(in.bodies, string(body))
		in.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) url() string { return in.URL + "/services/" + secret + "?key=" + secret }

// receiver returns the inbox as one to be told.
func (in *inbox) receiver(name string) Receiver {
	return Receiver{Name: name, URL: func() (string, error) { return in.url(), nil }}
}

// subscriber returns one for the kinds of events.
func (in *inbox) subscriber(name string, kinds ...Kind) Subscriber {
	return Subscriber{Receiver: in.receiver(name), Events: kinds, Timeout: ages}
}

// told returns the kinds and sets of all that came, in order.
func (in *inbox) told() (told []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, e := range in.events {
		line := string(e.Event) + " " + e.Set
		if e.Repeated {
			line += " again"
		}
		told = append(told, strings.TrimSpace(line))
	}
	return told
}

// newNotifier returns one that does not wait between attempts.
func newNotifier(t *testing.T, log *logged, subscribers ...Subscriber) *Notifier {
	n := New(Options{Log: log.logger()})
	n.firstWait = time.Nanosecond
	n.Configure(Options{Log: log.logger(), Subscribers: subscribers})
	t.Cleanup(func() { n.Close(0) })
	return n
}

var (
	events = partition.Set{Parent: partition.Name{Schema: "public", Local: "events"}}
	drop   = partition.Action{Kind: partition.Retire, Then: partition.Drop, Table: partition.Name{Schema: "public", Local: "events_2019_01"}, Reason: "it is old"}
)

func setEnded(n *Notifier, set string, status maintenance.Status) {
	n.Watch("").SetEnded(maintenance.Planned{}, maintenance.SetReport{Set: set, Status: status})
}

func (in *inbox) ask(ctx context.Context, timeout time.Duration) error {
	n := New(Options{Log: slog.New(slog.DiscardHandler), BeforeRemoval: []Receiver{in.receiver("the hook")}, AskTimeout: timeout})
	defer n.Close(0)
	return n.Watch("").Removing(ctx, events, drop)
}

var errConnect = errors.Join(maintenance.ErrConnect, errors.New("connection refused"))
