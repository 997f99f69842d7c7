package archive

import (
	"os"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestMain runs the tests, or, in a child that a test has started from its own
// binary, what that test wants done by a process of its own.
func TestMain(m *testing.M) {
	pgtest.IfChild(childTask)
	os.Exit(pgtest.Main(m))
}
