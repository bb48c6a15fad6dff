// Package configfile reads the configuration file: one YAML mapping that says what is listened on, which servers there
// are, which rules decide between them, and every setting that is a flag too.
//
//	file, problems := configfile.Load("culvert.yaml")
//	for _, p := range problems {
//		fmt.Fprintln(os.Stderr, p) // file:line:column: what is wrong; what is allowed
//	}
//	if file == nil {
//		os.Exit(2) // at least one of them was no warning
//	}
//	invocation, err = invocation.With(file.Layer()) // flags and variables override it
//
// Every key is one entry of a table of fields, from which come the reading, the check for unknown keys, the JSON schema
// (docs/config.schema.json) and the reference (docs/configuration.md). The values of settings are read by the decoders
// of their flags.
package configfile
