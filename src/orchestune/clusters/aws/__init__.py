"""Clusters on AWS: EKS with managed node groups, in a new VPC or an existing one.

`provisioner` is the entry point. `requests` builds the bodies of create requests (pure), `steps` finds and creates one
resource each, `applying` runs the steps, `inventory` lists what exists, `removing` deletes it. `client` makes all
calls, and only those with an entry in `rights`, from which the documented IAM policy is generated.
"""
