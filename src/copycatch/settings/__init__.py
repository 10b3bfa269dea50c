"""What people write down for the service: policy, service settings, mappings; and the schemas of it all.

Takes: YAML and environment variables. Gives: checked values, or every fault at once with line and remedy.
Never: anything the core would import; the core knows no YAML and opens no file.
"""
