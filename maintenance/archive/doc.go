// Package archive writes partitions that are to leave PostgreSQL to a store,
// proves that they are there, finds them again and gives them back. It never drops
// anything in the database.
//
// # What an archive is
//
// An export of a partition is one or more parts, files in Parquet or in CSV, both
// compressed with zstd, and a manifest in JSON that names them, see [Manifest]. All
// are written once and never changed:
//
//	<root>/public.events/year=2018/month=11/part-0001-4f0c9a51be27.parquet
//	<root>/public.events/year=2018/month=11/part-0002-09b1d0c5a3e4.parquet
//	<root>/public.events/year=2018/month=11/manifest.json
//
// The number counts the parts of the directory and the digest is the beginning
// of the file's SHA-256. A second export into the directory has a manifest with the
// number of its first part, as manifest-0003.json. The directories are in the style
// of Hive, as deep as all rows of a partition share the year, month, day and hour of
// the key in the set's calendar; so what a reader concludes from a directory's name
// is true, and a week that spans two months is in year=2018 itself.
//
// Anybody can load a part of CSV again without this program (the manifest has the
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
// A part that no manifest names is no archive. [Ensure] and [Export] return only
// after all files are on stable storage, and what was written has been read back
// from the store: its SHA-256 is the manifest's, and the digest of the rows decoded
// from it is that of the rows which the server sent. Whoever drops the table then
// locks it and asks [StillEqual] in the transaction that drops, where the server's
// own count and hash have to be those of the export's snapshot. Killed at any
// point, the next Ensure of the partition puts things right:
//
//   - Before a part gets its name, a note of it is written, .pending-<part>.json, and
//     removed when the manifest is there. A part with a note of the same database
//     and without a manifest was left by a killed export, and is removed. Any
//     other is not ours to remove: it may be the only copy of rows whose manifest
//     somebody lost, or somebody else may be about to name it. It stays, is no
//     archive, and its number is not used again.
//   - Temporary files have names that begin with ".tmp-", and unfinished uploads to
//     S3 are no objects; both are removed.
//   - If the table has been exported already and still has the same rows, that is
//     the archive. Nothing is exported again.
//   - If its rows have changed, or a part is damaged, all of it is exported again.
//     The new manifest names the old one as superseded. From then on [Find] ignores
//     the old one, and its files are removed as soon as the new parts have been read back.
//   - A table of another OID, database or cluster is another table, whatever its
//     name and rows: a month that was dropped and made again by late rows gets
//     further parts beside the first, and its manifest says that they are late. When in
//     doubt parts are added, never replaced: if the cluster cannot be told (see
//     [Source]), or its timeline has changed since, so that the parts may hold rows
//     which this table never had. A table that was restored from an archive and still
//     has its rows is the exception, see [Spec]: it is archived already.
//
// In a directory one process at a time writes beneath the directory of a parent,
// see [ErrBusy]. S3 has no locks; there the daemon's own lock in the database keeps
// a second one away, and two databases beneath one prefix leave each other's files alone.
package archive
