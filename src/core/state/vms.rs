impl super::ClusterState { }
