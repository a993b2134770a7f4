package postgres

import (
	"maps"
	"slices"
	"strconv"
)

// settings returns the server's settings as command line arguments.
func (c Config) settings(socketDir string) []string {
	s := map[string]string{
		"unix_socket_directories": socketDir,
		"unix_socket_permissions": "0700",
		"listen_addresses":        "",
		"port":                    strconv.Itoa(socketPort),
		"max_connections":         "200",
		"shared_buffers":          c.SharedBuffers,
		"jit":                     "off", // compiling costs more than it saves on set-based queries of this size
		"timezone":                "UTC",
		"log_timezone":            "UTC",

		// Bulk loads: let the log grow instead of checkpointing every few seconds, and spread each checkpoint out.
		"max_wal_size":                 "4GB",
		"min_wal_size":                 "1GB",
		"checkpoint_timeout":           "15min",
		"checkpoint_completion_target": "0.9",
		"maintenance_work_mem":         "256MB",
		"random_page_cost":             "1.1", // solid state

		// The log must hold no patient data: no statements, no parameters, no DETAIL lines (they quote key values).
		"log_min_error_statement":           "panic",
		"log_parameter_max_length":          "0",
		"log_parameter_max_length_on_error": "0",
		"log_error_verbosity":               "terse",
		"log_checkpoints":                   "off",
	}
	if c.Port != 0 {
		s["listen_addresses"] = "127.0.0.1"
		s["port"] = strconv.Itoa(c.Port)
	}
	if c.Ephemeral {
		// Nobody reads these data after a crash, so nothing is done to survive one.
		maps.Copy(s, map[string]string{
			"fsync":              "off",
			"synchronous_commit": "off",
			"full_page_writes":   "off",
			"wal_level":          "minimal",
			"max_wal_senders":    "0",
			"min_wal_size":       "80MB",
		})
	}
	maps.Copy(s, c.Settings)

	var args []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		args = append(args, "-c", name+"="+s[name])
	}
	return args
}
