// Package columns writes FHIR resources as Parquet (https://parquet.apache.org/docs/file-format/): one file holds resources
// of one type, one row a resource, in the order of the NDJSON lines they came from. It is what a Bulk Data export returns
// for _outputFormat=application/vnd.apache.parquet.
//
// The columns, the same for every type; an element that is absent or empty is null:
//
//	resourceType  string                     the type, the same in every row
//	id            string                     the logical id
//	patient       string, nullable           the id of the Patient whose data it is
//	lastUpdated   timestamp, UTC, ms         meta.lastUpdated
//	serviceStart  date, nullable             the first day of service
//	serviceEnd    date, nullable             the last day of service
//	codeSystem    string, nullable           the system of the first coding of the type's main code
//	code          string, nullable           the code of that coding
//	codeDisplay   string, nullable           its display, else the text of the concept
//	status        string, nullable           the status
//	resource      string                     the NDJSON line without its line break, byte for byte
//
// Which element is the main code and which the status of a type is a row of a table (paths.go); [Describe] yields both
// tables for documentation. The three dates and the patient are the caller's, who took them from the resource when it was
// imported. A period that is open at one end is null there, because the first and the last day that FHIR can write are
// days that several readers refuse.
//
// Files are made for readers of all ages: data pages of version 1, PLAIN and RLE_DICTIONARY encodings, zstd. Row groups
// hold 65,536 rows or 128 MB of JSON, whichever is reached first; within them pages have statistics, so that a reader who
// asks for some patients or dates reads only their pages. The columns resource and codeDisplay have none: a minimum and a
// maximum would copy whole resources, and what people wrote, into the footer, from where tools take them into catalogues.
//
// The memory of a Writer is that of one row group, compressed, and of the footer, which grows by some 10 kB a row group.
//
// The package does not look at what a line says beyond the elements above, does not check that it is valid JSON in valid
// UTF-8 (fhir.Inspect did, on import), and does not sort. Nothing of a line is in its errors.
package columns
