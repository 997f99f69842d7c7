package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Notify is somebody who is told what passes come to: a webhook or a command.
type Notify struct {
	Receiver
	// Format is "json" or "slack", for a webhook.
	Format string
	// Events are some of "failure", "recovery", "removal" and "pass".
	Events []string
	// Timeout bounds one attempt.
	Timeout time.Duration
	// Retries is how many attempts come after the first.
	Retries int
	// Repeat is after how long a failure that lasts is told again; zero is never.
	Repeat time.Duration
}

// Hooks are asked before something is done.
type Hooks struct {
	// BeforeRemoval may be nil.
	BeforeRemoval *Hook
}

// Hook is a command, a webhook, or both.
type Hook struct {
	Receiver
	// Timeout bounds how long all of the hook may take.
	Timeout time.Duration
}

// Receiver is a webhook or a command. It may be printed and logged: the URL is a
// secret as a rule, and is not shown by any verb of fmt.
type Receiver struct {
	// Command is a program's absolute path and its arguments; nil if there is none.
	Command []string
	// URLFile is the absolute path of a file that holds the webhook's URL, empty
	// if there is none.
	URLFile string

	// url is a pointer because fmt prints that as an address.
	url *string
	// file, key and line are for errors.
	file, key string
	line      int
}

// Webhook tells whether there is a URL.
func (r Receiver) Webhook() bool { return r.url != nil || r.URLFile != "" }

// String returns what may be shown. The arguments of a command may not.
func (r Receiver) String() string {
	var parts []string
	if r.Command != nil {
		parts = append(parts, r.Command[0])
	}
	switch {
	case r.URLFile != "":
		parts = append(parts, "the webhook of "+r.URLFile)
	case r.url != nil:
		parts = append(parts, "the webhook")
	}
	return strings.Join(parts, " and ")
}

// GoString returns what [Receiver.String] does.
func (r Receiver) GoString() string { return "config.Receiver{" + r.String() + "}" }

// URL returns the webhook's URL, read afresh if a file holds it. It must not be
// printed. Errors are an [*Error] and do not hold it.
func (r Receiver) URL() (string, error) {
	if r.URLFile == "" {
		return *r.url, nil
	}
	fail := func(want string, cause error) error {
		return &Error{File: r.file, Line: r.line, Key: r.key, Want: want, cause: cause}
	}
	text, err := readSecret(r.URLFile, "URL")
	if err != nil {
		return "", fail(err.Error(), err)
	}
	if !webhookURL(text) {
		return "", fail("the file holds something else: "+webhookMeaning, nil)
	}
	return text, nil
}

const webhookMeaning = `expected a URL such as "https://hooks.example.org/path"`

func webhookURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && !strings.ContainsAny(text, " \t\r\n")
}

// maxRepeat bounds how long a failure is not told again.
const maxRepeat = 366 * 24 * time.Hour

// notifies reads all [[notify]].
func (r *reader) notifies(keys []notifyKeys) []Notify {
	var all []Notify
	for i, k := range keys {
		path := element("notify", i)
		n := Notify{
			Receiver: r.receiver(path, k.URL, k.URLFile, k.Command),
			Format:   r.choice(path+".format", k.Format, defaultNotifyFormat, "json", "slack"),
			Events:   r.events(path+".events", k.Events),
			Timeout:  r.duration(path+".timeout", k.Timeout, defaultNotifyTimeout, time.Millisecond, 10*time.Minute),
			Retries:  r.number(path+".retries", k.Retries, defaultNotifyRetries, 0, 100),
			Repeat:   r.duration(path+".repeat", k.Repeat, defaultNotifyRepeat, 0, maxRepeat),
		}
		if n.Webhook() && n.Command != nil {
			r.failKey(path+".command", "stands beside a URL: expected one [[notify]] for each")
		}
		if k.Format != nil && !n.Webhook() {
			r.fail(path+".format", "expected a URL beside it: a command gets JSON")
		}
		all = append(all, n)
	}
	return all
}

// events reads what is told.
func (r *reader) events(path string, v *[]string) []string {
	if v == nil {
		return slices.Clone(defaultNotifyEvents)
	}
	if len(*v) == 0 {
		r.fail(path, "expected some of "+quotedList(notifyEvents))
	}
	for i, event := range *v {
		if !slices.Contains(notifyEvents, event) {
			r.fail(element(path, i), "expected one of "+quotedList(notifyEvents))
		}
	}
	return *v
}

// hooks reads the table of that name.
func (r *reader) hooks(keys hookKeys) Hooks {
	const path = "hooks.before_removal"
	if _, there := r.places.find(path); !there {
		return Hooks{}
	}
	k := keys.BeforeRemoval
	return Hooks{BeforeRemoval: &Hook{
		Receiver: r.receiver(path, k.URL, k.URLFile, k.Command),
		Timeout:  r.duration(path+".timeout", k.Timeout, defaultHookTimeout, time.Millisecond, 24*time.Hour),
	}}
}

// receiver reads where to send. Files are left to [Receiver.URL].
func (r *reader) receiver(path string, url, urlFile *string, command *[]string) Receiver {
	to := Receiver{URLFile: or(urlFile, ""), Command: or(command, nil), url: url, file: r.file}
	if url == nil && urlFile == nil && command == nil {
		r.failKey(path, "is for nobody: expected one of the keys url, url_file, command")
	}
	if url != nil && urlFile != nil {
		r.failKey(path+".url_file", "stands beside url: expected one of them")
	}
	if url != nil && !webhookURL(*url) {
		r.fail(path+".url", webhookMeaning)
	}
	if urlFile != nil {
		to.key = shownKey(path + ".url_file")
		at, _ := r.places.find(path + ".url_file")
		to.line = at.line
		if !filepath.IsAbs(to.URLFile) || strings.ContainsRune(to.URLFile, 0) {
			r.fail(path+".url_file", "expected the absolute path of a file that holds the URL")
		}
	}
	if command != nil && (len(*command) == 0 || !filepath.IsAbs((*command)[0]) || strings.ContainsRune(strings.Join(*command, ""), 0)) {
		r.fail(path+".command", fmt.Sprintf("expected the absolute path of a program and its arguments, such as %s", `["/usr/local/bin/tell", "ops"]`))
	}
	return to
}
