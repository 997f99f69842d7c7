package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/lmittmann/tint"
)

// demoLogLines is how many lines of one kind in a row the demo's log shows.
const demoLogLines = 5

// demoLog writes the log of a pass for a screen: without what the demo shows
// elsewhere, and of many like actions only the first.
type demoLog struct {
	show *demoPrinter

	mu   sync.Mutex
	last string
	seen int
}

func newDemoLog(show *demoPrinter) *demoLog { return &demoLog{show: show} }

// logger returns a logger that writes to the log.
func (l *demoLog) logger() *slog.Logger {
	return slog.New(demoHandler{log: l, Handler: tint.NewTextHandler(io.Writer(l.show), &tint.Options{
		TimeFormat: time.TimeOnly, NoColor: !l.show.colour, ReplaceAttr: shortAttr,
	})})
}

// shortAttr drops what makes lines longer than the screen is wide.
func shortAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case "set", "reason", "archive", "hint":
		return slog.Attr{}
	case "waited":
		if a.Value.Kind() == slog.KindDuration && a.Value.Duration() == 0 {
			return slog.Attr{}
		}
	}
	return a
}

// flush says how many lines of the last kind were left out.
func (l *demoLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn("")
}

// turn begins a run of lines with another message.
func (l *demoLog) turn(message string) {
	if more := l.seen - demoLogLines; more > 0 {
		l.show.line("         ... %s: %d more", l.last, more)
	}
	l.last, l.seen = message, 0
}

// demoHandler passes on what a demoLog has room for.
type demoHandler struct {
	slog.Handler
	log *demoLog
}

// Handle implements [slog.Handler].
func (h demoHandler) Handle(ctx context.Context, r slog.Record) error {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	message := r.Message
	if r.Level > slog.LevelInfo {
		message = "" // each of them counts
	}
	if message == "" || message != h.log.last {
		h.log.turn(message)
	}
	if h.log.seen++; h.log.seen > demoLogLines {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h demoHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoHandler{Handler: h.Handler.WithAttrs(attrs), log: h.log}
}

// WithGroup implements [slog.Handler].
func (h demoHandler) WithGroup(name string) slog.Handler {
	return demoHandler{Handler: h.Handler.WithGroup(name), log: h.log}
}
