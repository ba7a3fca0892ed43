"""The exercises of each chapter; a module bears the name of the chapter's module."""
