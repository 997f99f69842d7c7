package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const notifyURL = "https://hooks.example.org/services/hunter2"

// A URL is as secret as a password: no verb of fmt shows it.
func TestReceiversShowNoURL(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "[[notify]]\nurl = \""+notifyURL+"\"\n[[notify]]\ncommand = [\"/bin/tell\", \"hunter2\"]\n"+
		"[hooks.before_removal]\nurl = \""+notifyURL+"\"\n[[set]]\nparent = \"events\"\nkey = \"at\"\n")
	if len(c.Notify) != 2 || c.Hooks.BeforeRemoval == nil {
		t.Fatalf("%d receivers, hooks %v", len(c.Notify), c.Hooks)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if shown := fmt.Sprintf(verb, c.Notify) + fmt.Sprintf(verb, *c.Hooks.BeforeRemoval); strings.Contains(shown, "hunter2") {
			t.Errorf("%s shows the secret: %s", verb, shown)
		}
	}
	if got, err := c.Notify[0].URL(); err != nil || got != notifyURL {
		t.Errorf("%q, %v", got, err)
	}
	if c.Notify[1].Webhook() || !c.Hooks.BeforeRemoval.Webhook() {
		t.Error("a command is taken for a webhook, or the other way round")
	}
}

// The file is read whenever the URL is asked for, and its errors do not hold it.
func TestURLFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "url")
	c := mustParse(t, "[[set]]\nparent = \"events\"\nkey = \"at\"\n[[notify]]\nurl_file = \""+path+"\"\n")
	for _, test := range []struct{ text, want string }{
		{notifyURL + "\n", ""},
		{"hunter2", `config.toml:5: notify.url_file: the file holds something else: ` + webhookMeaning},
		{notifyURL + "\n" + notifyURL, `config.toml:5: notify.url_file: expected one line in the file, the URL`},
		{"\n", `config.toml:5: notify.url_file: the file is empty: expected a URL in it`},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := c.Notify[0].URL()
		if test.want == "" {
			if got != notifyURL || err != nil {
				t.Errorf("%q: %q, %v", test.text, got, err)
			}
			continue
		}
		var typed *Error
		if !errors.As(err, &typed) || err.Error() != test.want {
			t.Errorf("%q: %v, want %s", test.text, err, test.want)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Notify[0].URL(); err == nil {
		t.Error("a file that everybody may read is taken")
	}
}
