package pgtemp_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// envVictim makes the test program a process that starts a server in the named
// directory, prints its URL, and waits to be killed.
const envVictim = "PGTEMP_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envVictim); dir != "" {
		os.Exit(victim(dir))
	}
	os.Exit(m.Run())
}

func victim(dir string) int {
	server, err := pgtemp.Start(context.Background(), pgtemp.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(server.URL("postgres"))
	select {}
}
