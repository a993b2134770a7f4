package columns

import (
	"fmt"
	"strings"

	"pdexbulk/models/fhir"
)

// Description says what the files hold, for documentation.
type Description struct {
	Columns []Column
	Types   []Type
}

// Column is one column, in the order of the file.
type Column struct {
	Name     string
	Type     string // as Parquet writes it: physical type (logical type)
	Nullable bool
	Meaning  string
}

// Type says which elements of a resource type the code and status columns are from; "" for none. A list stands for its first
// element.
type Type struct {
	Name, Code, Status string
}

// Describe returns the layout of the files, and the types with a code or a status in alphabetical order. Both columns are null
// for the types that are not in it.
func Describe() Description {
	var d Description
	for _, c := range columns {
		t := c.node.Type()
		name := t.Kind().String()
		if logical := t.String(); logical != name {
			name += " (" + logical + ")"
		}
		d.Columns = append(d.Columns, Column{c.name, name, c.node.Optional(), c.meaning})
	}
	for _, p := range table {
		d.Types = append(d.Types, Type{fhir.TypeName(p.typeCode), p.code, p.status})
	}
	return d
}

// Markdown writes the description as two tables.
func (d Description) Markdown() string {
	var b strings.Builder
	b.WriteString("| column | Parquet type | nullable | meaning |\n|---|---|---|---|\n")
	for _, c := range d.Columns {
		nullable := "no"
		if c.Nullable {
			nullable = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.Name, c.Type, nullable, c.Meaning)
	}
	b.WriteString("\n| resource type | code | status |\n|---|---|---|\n")
	for _, t := range d.Types {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", t.Name, t.Code, t.Status)
	}
	return b.String()
}
