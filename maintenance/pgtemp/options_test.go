package pgtemp

import (
	"strings"
	"testing"
)

func TestConfigurationRefuses(t *testing.T) {
	t.Parallel()
	for _, settings := range []map[string]string{
		{"": "x"},
		{"work_mem = '1MB'\nfsync": "on"},
		{"work mem": "1MB"},
		{"application_name": "two\nlines"},
	} {
		if text, err := (Options{Settings: settings}).configuration(); err == nil {
			t.Errorf("%q was accepted:\n%s", settings, text)
		}
	}
}

// A name counts once, however it is spelled: the later line of two would win.
func TestConfigurationSettingsReplace(t *testing.T) {
	t.Parallel()
	text, err := Options{Settings: map[string]string{"FSync": "on"}}.configuration()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "fsync = 'on'\n") || strings.Contains(strings.ToLower(text), "fsync = 'off'") {
		t.Errorf("fsync should be on alone:\n%s", text)
	}
}
