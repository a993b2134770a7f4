package audit_test

import (
	"os"
	"testing"

	"pdexbulk/dev/apitest"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }
