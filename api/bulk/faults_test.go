package bulk_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// How long to wait for something that another goroutine does.
const (
	eventually = 10 * time.Second
	tick       = 5 * time.Millisecond
)

var errTemporal = errors.New("the connection to Temporal is gone")

// brokenTemporal is a Temporal that does not answer.
type brokenTemporal struct{ client.Client }

func (brokenTemporal) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, errTemporal
}

func (brokenTemporal) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return nil, errTemporal
}

func (brokenTemporal) CancelWorkflow(context.Context, string, string) error { return errTemporal }

func (brokenTemporal) SignalWorkflow(context.Context, string, string, string, any) error {
	return errTemporal
}

func newGzip(r io.Reader) (*gzip.Reader, error) {
	z, err := gzip.NewReader(r)
	if err == nil {
		z.Multistream(false) // as many clients read: one member and no more
	}
	return z, err
}
