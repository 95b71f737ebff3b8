module github.com/eventbus-go/eventbus/contrib/journal

go 1.25

require (
	github.com/eventbus-go/eventbus v0.0.0
	github.com/klauspost/compress v1.20.4
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/eventbus-go/eventbus => ../..
