package parquetfile

// Settings returns what [Configure] sets in a database with an encoding, for
// those who load rows by hand.
func Settings() map[string]string {
	all := make(map[string]string, len(settings))
	for _, s := range settings {
		all[s.name] = s.value
	}
	return all
}
