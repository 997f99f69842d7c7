// Command lint runs gosec as a checker of go/analysis. gosec's own command needs two
// hundred modules for what it can suggest beside, and minutes to be built; its
// analyzer needs two.
//
// It is a module of its own, with govulncheck as its tool, so that neither is among
// what the program needs.
package main

import (
	"github.com/securego/gosec/v2/goanalysis"
	"golang.org/x/tools/go/analysis/singlechecker"
)

func main() { singlechecker.Main(goanalysis.Analyzer) }
