package config

import "github.com/partitiond/partitiond/maintenance/partition"

// Archive says how partitions are archived, for all sets that do so.
type Archive struct {
	// Format is "parquet" or "csv".
	Format string
	// PartBytes is the length from which a file is whole.
	PartBytes int64
	// BytesPerSecond bounds what is read from the server; 0 is no bound.
	BytesPerSecond int64
	S3             S3
}

// S3 says how S3 is reached. Credentials come from where the AWS programs look
// for them.
type S3 struct {
	// Endpoint is the server's URL, empty for Amazon's.
	Endpoint string
	// Region is empty where the environment says it.
	Region string
	// PathStyle has the bucket in the path and not in the host's name.
	PathStyle bool
}

const megabyte = 1 << 20

// archive reads the table of that name.
func (r *reader) archive(keys archiveKeys) Archive {
	return Archive{
		Format:         r.choice("archive.format", keys.Format, defaultArchiveFormat, "parquet", "csv"),
		PartBytes:      megabyte * int64(r.number("archive.part_megabytes", keys.PartMegabytes, defaultPartMegabytes, 1, 5000)),
		BytesPerSecond: megabyte * int64(r.number("archive.megabytes_per_second", keys.MegabytesPerSecond, 0, 0, 100_000)),
		S3: S3{
			Endpoint:  r.endpoint("archive.s3.endpoint", keys.S3.Endpoint),
			Region:    or(keys.S3.Region, ""),
			PathStyle: or(keys.S3.PathStyle, false),
		},
	}
}

// endpoint reads the URL of an S3 server.
func (r *reader) endpoint(path string, v *string) string {
	if v == nil || *v == "" {
		return ""
	}
	if _, err := partition.ParseArchiveEndpoint(*v); err != nil {
		r.fail(path, err.Error())
	}
	return *v
}
