package parquetfile

import (
	"os"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestMain runs the tests or, in a child that a test has started from its own
// binary, what is to be measured in a process of its own.
func TestMain(m *testing.M) {
	if name := os.Getenv(envMeasure); name != "" {
		os.Exit(measured(name))
	}
	os.Exit(pgtest.Main(m))
}
