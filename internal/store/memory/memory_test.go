package memory

import (
	"testing"

	"github.com/sallyport/sallyport/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return New() })
}
