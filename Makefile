# A thin face for course.py, which needs no make: python course.py {lab,test,run,install} [options]
PYTHON ?= python3
ARGS ?=

.PHONY: lab test run install
lab test run install:
	@$(PYTHON) course.py $@ $(ARGS)
