package columns_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/columns"
)

func BenchmarkWrite(b *testing.B) {
	types := benchTypes(b)
	if len(types) == 0 {
		b.Skip("no sample data")
	}
	for _, resourceType := range types {
		b.Run(resourceType, func(b *testing.B) {
			rows, size := benchRows(b, resourceType)
			b.SetBytes(size)
			b.ReportAllocs()
			var totals columns.Totals
			for b.Loop() {
				w := open(b, io.Discard, resourceType, columns.Options{})
				for _, r := range rows {
					if err := w.Write(r.line, r.meta); err != nil {
						b.Fatal(err)
					}
				}
				var err error
				totals, err = w.Close()
				require.NoError(b, err)
			}
			b.ReportMetric(float64(size)/float64(totals.Bytes), "ratio")
			b.ReportMetric(float64(len(rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
