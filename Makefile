# A thin face for course.py, which needs no make: python course.py {lab,test,test-browser,test-real,coverage,site,run,install} [options]
PYTHON ?= python3
ARGS ?=

.PHONY: help lab test test-browser test-real coverage site run install
help:
	@$(PYTHON) course.py --help
lab test test-browser test-real coverage site run install:
	@$(PYTHON) course.py $@ $(ARGS)
