package imports_test

import (
	"os"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
