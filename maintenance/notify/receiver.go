package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Format is what a webhook is sent.
type Format string

// The formats.
const (
	// JSON is an [Event].
	JSON Format = "json"
	// Slack is what Slack's incoming webhooks take, and those of others that speak
	// their language.
	Slack Format = "slack"
)

// Receiver is a webhook or a command.
type Receiver struct {
	// Name is what logs and errors call it. It holds nothing that is a secret.
	Name string
	// URL returns a webhook's URL, which is a secret; nil means that it is a command.
	URL    func() (string, error)
	Format Format
	// Command is a program's path and its arguments.
	Command []string
}

// finalError is one after which another attempt would be in vain.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// laterError is a receiver that asks for some time.
type laterError struct {
	error
	wait time.Duration
}

// deliver makes one attempt. No answer in time gives [context.DeadlineExceeded].
func (r Receiver) deliver(ctx context.Context, e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return finalError{fmt.Errorf("encode the event: %w", err)}
	}
	if r.URL == nil {
		return runCommand(ctx, r.Command, body, e)
	}
	url, err := r.URL()
	if err != nil {
		return err // The file may be there the next time.
	}
	if r.Format == Slack {
		body = slackBody(e)
	}
	return post(ctx, url, body)
}
