// Package pgtemp runs a throw-away PostgreSQL server from the programs that
// are installed on this machine, for the demonstration and for tests.
//
// [Find] looks for the programs, [Start] makes a new cluster in a temporary
// directory and serves it on the loopback interface and on a private Unix
// socket, and [Server.Close] stops the server and removes the directory. It
// uses initdb and postgres as they are, and no library.
//
// Nothing is meant to stay behind. The server is a direct child of this
// process. On Linux the kernel asks it to shut down when this process dies,
// however it dies; elsewhere it shuts down by itself, a minute after its
// directory is gone. The directory of a process that had no chance to remove
// it is removed by the next Start.
//
// By default the server gives up durability for speed and trusts every
// connection from this machine: see [Options.Durable] and [Options.Password].
// It is no server to keep data in.
package pgtemp
