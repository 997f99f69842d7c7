# Makes the configuration that is installed of config.example.toml: with all its
# words, but naming no server and no table.

BEGIN {
	print "# This file is as the package brought it, and names no table yet: partitiond says so"
	print "# and ends with exit code 2. What is to be done: give database.url if the PG* variables"
	print "# do not say where the server is, and add a [[set]] for each partitioned table, for"
	print "# which the lines below that begin with # are the pattern. Then see what would happen,"
	print "# and let it:"
	print "#"
	print "#     sudo -u partitiond partitiond --run-now --dry-run"
	print "#     sudo systemctl enable --now partitiond"
	print ""
}

# From the first set on everything is an example.
/^\[\[/ { example = 1 }

/^[^#]/ && (example || !/^\[/) { $0 = "# " $0 }

{ print }
