// Package prove holds the tests that try to make the daemon lose a row, or have one
// twice: random histories against a model, a crash at every step, and crowds. They
// go through what the program itself goes through, a configuration and a Maintainer.
package prove

import (
	"flag"
	"os"
	"testing"

	"github.com/partitiond/partitiond/maintenance/archive/s3test"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// all tells that no point is left out, which takes too long for CI.
var all = os.Getenv("PARTITIOND_PROVE") == "all"

func TestMain(m *testing.M) {
	pgtest.IfChild(child)
	// Whoever asks for an S3 server finds these, and a child inherits them.
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": s3test.SecretKey, "AWS_REGION": s3test.Region} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// CI sees the same histories each time. RAPID_CHECKS and RAPID_SEED, or the flags
	// of the same names, ask for others.
	for name, value := range defaults {
		if os.Getenv(rapidEnv[name]) != "" {
			continue
		}
		if err := flag.Set("rapid."+name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(pgtest.Main(m))
}

// defaults are rapid's settings in CI. The steps are how many there are on average after
// the fewest of a history.
var defaults = map[string]string{"checks": "17", "steps": "15", "seed": "1", "shrinktime": "1m", "nofailfile": "true"}

// asDefault tells that nobody has asked for other histories, or fewer.
func asDefault() bool {
	for name, value := range defaults {
		if flag.Lookup("rapid."+name).Value.String() != value {
			return false
		}
	}
	return true
}

// rapidEnv are the variables by which rapid takes its settings.
var rapidEnv = map[string]string{
	"checks": "RAPID_CHECKS", "steps": "RAPID_STEPS", "seed": "RAPID_SEED", "shrinktime": "RAPID_SHRINKTIME", "nofailfile": "RAPID_NOFAILFILE",
}
