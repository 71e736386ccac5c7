module seedbed/lab/images

go 1.26.0
