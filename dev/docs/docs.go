// Package docs makes the parts of the documentation that follow from the code, and its tests hold the documentation against
// the code: the tables of configuration variables in the README, and the page about Parquet files.
package docs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"pdexbulk/api/server"
	"pdexbulk/models/columns"
	"pdexbulk/worker/boot"
	"pdexbulk/worker/serve"
)

// The lines of the README between which the configuration is.
const (
	begin = "<!-- configuration: made by \"make gen\" -->\n"
	end   = "<!-- end of configuration -->\n"
)

// Configuration is the tables of every environment variable the programs read, in Markdown.
func Configuration() string {
	both := boot.Describe()
	var b strings.Builder
	table(&b, "Read by both programs", both)
	table(&b, "Read by `api`", boot.Describe(new(server.Config))[len(both):])
	table(&b, "Read by `worker`", boot.Describe(new(serve.Config))[len(both):])
	return b.String()
}

func table(b *strings.Builder, title string, rows []boot.Variable) {
	fmt.Fprintf(b, "\n%s:\n\n| Variable | Default | Meaning |\n|---|---|---|\n", title)
	for _, v := range rows {
		byDefault := ""
		if v.Default != "" {
			byDefault = "`" + v.Default + "`"
		}
		help := v.Help
		if v.Secret {
			help += " (secret)"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", v.Name, byDefault, strings.ReplaceAll(help, "|", `\|`))
	}
	b.WriteByte('\n')
}

// Parquet is the page that describes the Parquet files of exports, in Markdown.
func Parquet() string {
	return `# Parquet files

<!-- made by "make gen" -->

What an export with ` + "`_outputFormat=application/vnd.apache.parquet`" + ` results in: files of one resource type each, a row for each
resource. The columns are the same for every type; an element that is absent or empty is null. The second table says which
elements the columns code and status are taken from; for other types both are null.

` + columns.Describe().Markdown()
}

// Update returns the README with the tables as they must be. It errs when the lines that mark their place are not there.
func Update(readme []byte) ([]byte, error) {
	before, rest, found := bytes.Cut(readme, []byte(begin))
	_, after, ended := bytes.Cut(rest, []byte(end))
	if !found || !ended {
		return nil, errors.New("the README has no place marked for the configuration")
	}
	return bytes.Join([][]byte{before, []byte(begin), []byte(Configuration()), []byte(end), after}, nil), nil
}
