package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/notify"
)

// notifyBound is how long the program waits at its end for what it still has to
// tell. With schedule.stop_timeout it has to fit into the units' TimeoutStopSec=.
const notifyBound = 10 * time.Second

// serverPatience is how long the daemon tries to connect before it tells anybody:
// a server that restarts is no failure.
const serverPatience = time.Minute

// notifyOptions wires who is told and who is asked. That their URLs are there is
// looked at now, so that a mistake is not found when something has to be told.
func notifyOptions(c *config.Config, log *slog.Logger, patience time.Duration) (notify.Options, error) {
	o := notify.Options{Log: log, Patience: patience}
	for i, n := range c.Notify {
		if n.Webhook() {
			if _, err := n.URL(); err != nil {
				return o, exitError{exitUsage, err}
			}
		}
		s := notify.Subscriber{
			Receiver: notify.Receiver{Name: fmt.Sprintf("notify %d (%s)", i+1, n.Receiver), Format: notify.Format(n.Format), Command: n.Command},
			Timeout:  n.Timeout, Retries: n.Retries, Repeat: n.Repeat,
		}
		if n.Webhook() {
			s.URL = n.URL
		}
		for _, e := range n.Events {
			s.Events = append(s.Events, notify.Kind(e))
		}
		o.Subscribers = append(o.Subscribers, s)
	}
	h := c.Hooks.BeforeRemoval
	if h == nil {
		return o, nil
	}
	o.AskTimeout = h.Timeout
	if h.Command != nil {
		o.BeforeRemoval = append(o.BeforeRemoval, notify.Receiver{Name: "before_removal (" + h.Command[0] + ")", Command: h.Command})
	}
	if h.Webhook() {
		if _, err := h.URL(); err != nil {
			return o, exitError{exitUsage, err}
		}
		o.BeforeRemoval = append(o.BeforeRemoval, notify.Receiver{Name: "before_removal (webhook)", URL: h.URL})
	}
	return o, nil
}
