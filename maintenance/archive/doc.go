// Package archive writes partitions that are to leave PostgreSQL to a store,
// proves that they are there, and finds them again. It never drops anything in
// the database.
//
// # What an archive is
//
// A part is a file of CSV, written by COPY and compressed with zstd, and beside
// it a manifest in JSON, see [Manifest]. Both are written once and never changed:
//
//	<root>/public.events/year=2018/month=11/part-0001-4f0c9a51be27.csv.zst
//	<root>/public.events/year=2018/month=11/part-0001-4f0c9a51be27.json
//
// The number counts the parts of the directory and the digest is the beginning
// of the compressed file's SHA-256. The directories are in the style of Hive,
// as deep as all rows of a partition share the year, month, day and hour of the
// key in the set's calendar; so what a reader concludes from a directory's name
// is true, and a week that spans two months is in year=2018 itself.
//
// Anybody can load a part again without this program (the manifest has the
// settings and the COPY for a column list of its own):
//
//	zstd -dc part-0001-4f0c9a51be27.csv.zst | psql -c "\copy t from stdin csv header"
//
// Before release 18 psql takes a line of a value that is just \. for the end of
// the data, and the command fails; COPY t FROM PROGRAM 'zstd -dc ...' on the
// server, or any program that speaks COPY, loads such a part, too.
//
// # Nothing is lost or doubled
//
// A part without its manifest is not an archive. [Ensure] and [Export] return
// only after both files, and the directories above them, are on stable storage,
// and what was written has been read back. Whoever drops the table then locks
// it and asks [StillEqual] in the transaction that drops. Killed at any point,
// the next Ensure of the partition puts things right:
//
//   - Temporary files have names that begin with ".tmp-" and are removed. A part
//     without a manifest is removed if it is still hard-linked to one of them,
//     which proves that a killed export left it. Any other is not ours to remove: it
//     may be the only copy of rows whose manifest somebody lost. It stays, is no
//     archive, and its number is not used again.
//   - If the table has a part already and still has the same rows, that part is
//     the archive. Nothing is exported again.
//   - If its rows have changed, or the part is damaged, all of it is exported
//     again. The new manifest names the old part as superseded. From then on
//     [Find] ignores the old one, and its files are removed as soon as the new
//     part has been read back.
//   - A table of another OID, database or cluster is another table, whatever its
//     name and rows: a month that was dropped and made again by late rows gets a further
//     part beside the first. When in doubt a part is added, never replaced: if the cluster
//     cannot be told (see [Source]), or its timeline has changed since, so that the
//     part may hold rows which this table never had.
//
// One process at a time writes beneath the directory of a parent, see [ErrBusy].
package archive
