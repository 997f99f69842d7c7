package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/partitiond/partitiond/maintenance"
)

// TestAttempts counts the attempts that answers bring about.
func TestAttempts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		answers []int // the last one goes on
		want    int
		log     string
	}{
		{"good", []int{200}, 1, "msg=told"},
		{"no content", []int{204}, 1, "msg=told"},
		{"flapping", []int{500, 503, 502, 200}, 4, "msg=told"},
		{"busy", []int{429, 408, 200}, 3, "msg=told"},
		{"failing", []int{500}, 4, "the server answers 500 Internal Server Error"},
		{"revoked", []int{404}, 1, "the server answers 404 Not Found"},
		{"elsewhere", []int{302}, 1, "the server answers 302 Found"},
		{"elsewhere with the body", []int{307}, 1, "the server answers 307 Temporary Redirect"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			elsewhere := newInbox(t, nil)
			var calls atomic.Int64
			in := newInbox(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(test.answers[min(int(calls.Add(1)), len(test.answers))-1])
				fmt.Fprintln(w, secret)
			})
			log := &logged{}
			s := in.subscriber("ops", Failure)
			s.Retries = 3
			n := newNotifier(t, log, s)
			setEnded(n, "public.events", maintenance.Failed)
			n.Close(ages)
			if got := len(in.told()); got != test.want {
				t.Errorf("%d attempts, want %d", got, test.want)
			}
			if len(elsewhere.told()) != 0 {
				t.Error("a redirect was followed")
			}
			if !strings.Contains(log.String(), test.log) {
				t.Errorf("the log lacks %q:\n%s", test.log, log)
			}
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log has the secret:\n%s", log)
			}
		})
	}
}

// A server's wish to be left alone for a while is granted, within a bound.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "86400": time.Minute, "": 0, "-1": 0, "soon": 0} {
		in := newInbox(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		err := in.receiver("ops").deliver(t.Context(), Event{})
		var later laterError
		if errors.As(err, &later) != (want > 0) || later.wait != want {
			t.Errorf("%q: %v, to wait for %s, want %s", header, err, later.wait, want)
		}
	}
}

// A server that takes the request and never answers costs the timeout, each time.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	in := newInbox(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	log := &logged{}
	s := in.subscriber("ops", Failure)
	s.Retries, s.Timeout = 1, 50*time.Millisecond
	n := newNotifier(t, log, s)
	setEnded(n, "public.events", maintenance.Failed)
	n.Close(ages)
	// Not counted by the server: on a busy machine it may not even be reached.
	if strings.Count(log.String(), "a notification was not taken yet") != 1 || strings.Count(log.String(), "a notification was lost") != 1 ||
		strings.Count(log.String(), `error="no answer within 50ms"`) != 2 {
		t.Errorf("the log does not tell of two attempts and the end:\n%s", log)
	}
}

// An answer without an end is not read.
func TestHugeAnswer(t *testing.T) {
	t.Parallel()
	in := newInbox(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	if err := in.ask(t.Context(), ages); err != nil {
		t.Error(err)
	}
}

// TestWebhookVeto goes through answers to the question whether a partition may go.
func TestWebhookVeto(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		200: "", 202: "", 204: "",
		302: "the hook: the server answers 302 Found",
		403: "the hook: the server answers 403 Forbidden",
		429: "the hook: the server answers 429 Too Many Requests",
		503: "the hook: the server answers 503 Service Unavailable",
	} {
		in := newInbox(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		got := ""
		if err := in.ask(t.Context(), ages); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
		if len(in.told()) != 1 {
			t.Errorf("%d: asked %d times", status, len(in.told()))
		}
		e := in.events[0]
		e.Time, e.Host = time.Time{}, ""
		if diff := cmp.Diff(Event{
			Event: BeforeRemoval, Set: "public.events", Action: "drop", Table: "public.events_2019_01", Reason: "it is old",
			Text: "about to drop public.events_2019_01: it is old",
		}, e); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	}
	slow := newInbox(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err := slow.ask(t.Context(), 50*time.Millisecond); err == nil || err.Error() != "the hook: no answer within 50ms" {
		t.Errorf("no answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := slow.ask(ctx, ages); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
}

// TestErrorsHoldNoURL makes requests fail in the ways that net/http tells with
// the URL, or with what the server sent.
func TestErrorsHoldNoURL(t *testing.T) {
	t.Parallel()
	gone := newInbox(t, nil)
	gone.Close()
	plain := newInbox(t, nil)
	parrot, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer parrot.Close()
	go func() {
		for {
			conn, err := parrot.Accept()
			if err != nil {
				return
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err == nil {
				_, err = fmt.Fprint(conn, line, "\r\n\r\n")
			}
			if err := errors.Join(err, conn.Close()); err != nil {
				t.Error(err)
			}
		}
	}()
	for name, url := range map[string]string{
		"refused":       gone.url(),
		"not TLS":       strings.Replace(plain.url(), "http:", "https:", 1),
		"no such host":  "http://nobody.invalid/" + secret,
		"a parrot":      "http://" + parrot.Addr().String() + "/" + secret,
		"with password": "http://user:" + secret + "@" + parrot.Addr().String() + "/x?" + secret,
		"not a URL":     "http://[" + secret,
		"a wrong port":  "http://127.0.0.1:" + secret,
	} {
		r := Receiver{URL: func() (string, error) { return url, nil }}
		err := r.deliver(t.Context(), Event{})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	var body atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got map[string]string
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		body.Store(got)
	}))
	defer server.Close()
	r := Receiver{Format: Slack, URL: func() (string, error) { return server.URL, nil }}
	e := Event{Event: Failure, Host: "db1", Text: describe(maintenance.SetReport{
		Set: "public.events", Status: maintenance.Partly,
		Actions: []maintenance.ActionReport{
			{Action: "create", Table: "public.a", Error: "a < b && c > d\nand more"},
			{Action: "drop", Table: "public.held", Error: "held", Held: true}, {Action: "create", Table: "public.done"},
		},
		Problems: []maintenance.ProblemReport{{Kind: "overlap", Table: "public.b", Text: "<!channel>"}},
	})}
	if err := r.deliver(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"text": ":red_circle: partitiond on db1: public.events: partly\n" +
		"- create public.a: a &lt; b &amp;&amp; c &gt; d and more\n- overlap: public.b: &lt;!channel&gt;"}
	if diff := cmp.Diff(want, body.Load()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// However much is wrong, people get a text of a bounded length.
func TestTextIsBounded(t *testing.T) {
	t.Parallel()
	r := maintenance.SetReport{Set: "public.events", Status: maintenance.Partly}
	for range 1000 {
		r.Problems = append(r.Problems, maintenance.ProblemReport{Kind: "overlap", Table: "public.b", Text: strings.Repeat("é", 1000)})
	}
	text := describe(r)
	if len(text) > maxText+500 || !strings.HasSuffix(text, "\n- and 994 more") {
		t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-30:])
	}
	pass := maintenance.Report{}
	for range 1000 {
		pass.Sets = append(pass.Sets, r)
	}
	if text := describePass(pass); len(text) > maxText || !strings.HasSuffix(text, "\n- and 994 more") {
		t.Errorf("%d bytes", len(text))
	}
}

// TestWebhookOfUnknownAuthority: a server whose certificate nobody vouches for is told
// nothing, and asked nothing.
func TestWebhookOfUnknownAuthority(t *testing.T) {
	t.Parallel()
	var called atomic.Bool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Store(true) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	r := Receiver{URL: func() (string, error) { return server.URL + "/" + secret, nil }}
	err := r.deliver(t.Context(), Event{})
	if err == nil || !strings.Contains(err.Error(), "unknown authority") || strings.Contains(err.Error(), secret) || called.Load() {
		t.Errorf("it is told: %t, %v", called.Load(), err)
	}
}
