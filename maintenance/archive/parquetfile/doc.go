// Package parquetfile turns the rows of a table, as COPY ... TO STDOUT (FORMAT
// binary) sends them, into Parquet files, the parts, and back into the same bytes.
//
//	plan, err := parquetfile.Columns(ctx, tx, table)       // after Configure
//	w, err := parquetfile.NewWriter(plan, options)
//	_, err = tx.Conn().PgConn().CopyTo(ctx, w, plan.CopySQL(table))
//	err = w.Close()                                        // *NoNativeFormError: again, with plan.AsText
//	digest, err := parquetfile.Read(ctx, file, size, plan, nil) // is that of the part?
//
// The memory that is needed depends neither on the number of rows nor on the size
// of the table. It is below 256 MiB, and with GOMEMLIMIT below half of that; but a
// value that is larger than a row group takes up to four times its size.
//
// # Forms
//
//	boolean                                 BOOLEAN
//	smallint, integer, bigint               INT32 INTEGER(16), INT32 INTEGER(32), INT64 INTEGER(64)
//	real, double precision                  FLOAT, DOUBLE, with all their bits
//	numeric(p,s), up to 38 digits           DECIMAL in 4, 8 or 16 bytes
//	text, varchar, char, name               STRING
//	bytea                                   BYTE_ARRAY
//	date                                    DATE
//	timestamp, timestamp with time zone     TIMESTAMP in microseconds, not adjusted and adjusted to UTC
//	uuid                                    UUID
//	json, jsonb                             JSON, json as it was written
//	a domain over one of these              as that
//	everything else                         STRING, as text
//
// As text are in particular numeric without a precision, whose values have scales
// of their own, arrays, whose dimensions may differ from row to row, enums, inet,
// interval, and time, whose 24:00:00 Parquet does not have. In a database with the
// encoding SQL_ASCII strings are BYTE_ARRAY without an annotation. All columns are
// optional, and they have the order of the table.
//
// # What has no form
//
// Parquet has no infinite dates and timestamps, no times from 294247 AD on and no
// decimal that is NaN. They are found while a row is encoded, rather than by a query
// beforehand: the query would read the table once more for each export, and almost
// always find nothing; while what is found on the way costs one more export, once,
// for the table that has such values. The writer then looks for all columns of that
// kind, so that there is no third attempt.
//
// # Files
//
// Row groups are 8 MiB of COPY's format, and are encoded two at a time. Numbers and
// times are in DELTA_BINARY_PACKED, strings in DELTA_LENGTH_BYTE_ARRAY, never in a
// dictionary; pages of 256 KiB are compressed by zstd at level 1 and have a CRC.
// That is what bounds an export: more than half of the client's processor time is
// zstd, see maintenance/bench/archive. Integers, decimals up to 18 digits, dates,
// timestamps and booleans have bounds in each row group. Columns whose bounds would
// be long, or that parquet-go gets wrong, have none: strings, floats and decimals
// of 16 bytes.
//
// # Restoring
//
// Parts without text columns go straight into COPY ... FROM STDIN (FORMAT binary).
// With text columns each part goes into a temporary table first, since COPY has one
// format for all columns and a binary value cannot be cast on the way; see
// [Plan.RestoreSQL] and [Loader]. Making the server's text of all other types here,
// for a COPY in CSV, would mean to write the output function of each anew.
package parquetfile
